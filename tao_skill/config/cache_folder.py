"""The folder that holds what was fetched and extracted."""

import os
import sys
import tempfile
from pathlib import Path

from tao_skill.config.folders import at_home, nearest_existing
from tao_skill.errors import Problem, StorageError

CACHE_VARIABLE = "TAO_SKILL_CACHE"


def cache_place() -> Path:
    """Return where the cache folder is or would be made, without making or trying anything."""
    named = os.environ.get(CACHE_VARIABLE, "").strip()
    if named:
        return at_home(named).absolute()
    usual = _platform_cache()
    if usual is not None and os.access(nearest_existing(usual), os.W_OK | os.X_OK):
        return usual
    return _temporary()


def cache_directory() -> Path:
    """Return the cache folder, made where it is missing.

    ``$TAO_SKILL_CACHE`` wins; then the platform's cache folder; where that can't be written, a private folder among
    the temporary files.

    Raises:
        StorageError: ``$TAO_SKILL_CACHE`` is set to a folder that can't be written.
    """
    named = os.environ.get(CACHE_VARIABLE, "").strip()
    if named:
        chosen = at_home(named).absolute()
        if not writable(chosen):
            raise StorageError(
                f"{CACHE_VARIABLE} names a folder that can't be written.",
                problems=[Problem(CACHE_VARIABLE, str(chosen), "a folder that can be written")],
                next_step=f"unset {CACHE_VARIABLE}, or set it to another folder",
            )
        return chosen
    usual = _platform_cache()
    return usual if usual is not None and writable(usual) else _private_temporary()


def writable(folder: Path) -> bool:
    """Say whether files can be made in ``folder``, which is made where it is missing; tried, not guessed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _platform_cache() -> Path | None:
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "tao-skill"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "tao-skill" / "Cache"
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else home / ".cache") / "tao-skill"


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _temporary() -> Path:
    return Path(tempfile.gettempdir()) / f"tao-skill-{_user()}"


def _private_temporary() -> Path:
    """Return this user's own folder among the temporary files; one that another user made is not trusted."""
    user, folder = _user(), _temporary()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
        if not folder.is_symlink() and facts.st_uid == user and facts.st_mode & 0o077 == 0 and writable(folder):
            return folder
        return Path(tempfile.mkdtemp(prefix="tao-skill-"))
    except OSError as error:
        raise StorageError(
            f"No folder for the cache can be written: {error.strerror or error}.",
            problems=[Problem(str(folder), str(error), "a folder that can be written")],
            next_step=f"set {CACHE_VARIABLE} to a folder that can be written",
        ) from error
