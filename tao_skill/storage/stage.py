"""Bring one input to where the action can read it."""

import hashlib
import logging
import re
import shutil
import tempfile
from pathlib import Path

from tao_skill.config.folders import nearest_existing
from tao_skill.errors import Problem, StorageError
from tao_skill.storage.cache import cache_directory
from tao_skill.storage.extract import DEFAULT_LIMITS, Limits, extract
from tao_skill.storage.locate import local_path

ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar")
OTHER_ARCHIVES = (".zip", ".rar", ".7z", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4")

_log = logging.getLogger(__name__)


def is_archive(uri: str | Path) -> bool:
    """Say whether ``stage`` would extract this, by its name."""
    return str(uri).lower().endswith(ARCHIVE_SUFFIXES)


def stage(uri: str | Path, cache_dir: Path | None = None, limits: Limits = DEFAULT_LIMITS) -> Path:
    """Return a local path for ``uri``: a folder or plain file in place, an archive extracted into the cache.

    An archive is extracted once: the folder is keyed by the archive's path, size and time of change, appears whole
    or not at all, and a second process waits for the first. If all its content lies in one top folder, that folder
    is returned.

    Raises:
        StorageError: nothing there, a kind of archive that can't be read, or an archive that can't be extracted.
        NotAvailableError: a scheme that is not supported.
    """
    path = local_path(uri)
    if not path.exists():
        raise StorageError(
            f"There is no {path}.",
            problems=[Problem(str(uri), "missing", "a folder, a file, or a .tar, .tar.gz or .tgz archive")],
            next_step=f"correct the path: the nearest folder that exists is {nearest_existing(path.parent)}",
        )
    if path.is_dir():
        return path
    if path.name.lower().endswith(OTHER_ARCHIVES):
        raise StorageError(
            f"{path} is a kind of archive that can't be read.",
            problems=[Problem(str(uri), path.name, "a folder, or a .tar, .tar.gz or .tgz archive")],
            next_step=f"extract {path} yourself and give the folder",
        )
    if not is_archive(path):
        return path
    return _extracted(path, cache_dir or cache_directory(), limits)


def _extracted(archive: Path, cache: Path, limits: Limits) -> Path:
    from filelock import FileLock  # costs 0.1 s to import: only where something is extracted

    name = _folder_name(archive)
    root = cache / "extracted"
    done = root / name
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not done.is_dir():
            with FileLock(root / f"{name}.lock"):
                if not done.is_dir():
                    _extract_whole(archive, done, limits)
    except OSError as error:
        raise StorageError(
            f"The cache {root} can't be written: {error.strerror or error}.",
            problems=[Problem(str(root), str(error), "a folder that can be written, with space left")],
            next_step="set TAO_SKILL_CACHE to another folder",
        ) from error
    return _without_top_folder(done, archive)


def _extract_whole(archive: Path, done: Path, limits: Limits) -> None:
    """Extract beside ``done``, then rename; called under the lock, so leftovers are of processes that died."""
    for leftover in done.parent.glob(f"{done.name}.*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{done.name}.", suffix=".partial", dir=done.parent))
    _log.info("extracting %s into %s", archive, done)
    try:
        files = extract(archive, partial, limits)
        partial.chmod(0o755)
        partial.rename(done)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _log.info("extracted %d files from %s", files, archive.name)


def _folder_name(archive: Path) -> str:
    facts = archive.stat()
    identity = f"{archive.resolve()}\0{facts.st_size}\0{facts.st_mtime_ns}"
    readable = re.sub(r"[^A-Za-z0-9_.-]", "_", _stem(archive))[:60]
    return f"{readable}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def _stem(archive: Path) -> str:
    suffix = next(ending for ending in ARCHIVE_SUFFIXES if archive.name.lower().endswith(ending))
    return archive.name[: -len(suffix)] or "archive"


def _without_top_folder(folder: Path, archive: Path) -> Path:
    """Step into the one top folder, if it is a wrapping and not itself the only class of a data set.

    It wraps if it has the archive's name or holds folders; one with another name that holds files alone is a class.
    """
    entries = list(folder.iterdir())
    if len(entries) != 1 or not entries[0].is_dir():
        return folder
    top = entries[0]
    wraps = top.name == _stem(archive) or any(child.is_dir() for child in top.iterdir())
    return top if wraps else folder
