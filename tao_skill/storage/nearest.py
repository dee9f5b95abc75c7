"""Say what is there instead of what is not."""

import difflib
import functools
import shlex

from tao_skill.config.folders import nearest_existing
from tao_skill.errors import Problem, StorageError, TaoSkillError
from tao_skill.storage.archive_names import is_archive
from tao_skill.storage.locate import is_remote, local_path, redact, scheme_of
from tao_skill.storage.objects import ObjectStore
from tao_skill.storage.small import patiently

__all__ = ["missing", "nearest_names"]

_LOOKED_AT = 1000


def missing(store: ObjectStore, uri: str) -> StorageError:
    """Return the error for a URI that names nothing, with the nearest names that exist."""
    shown = redact(uri)
    near = nearest_names(store, uri)
    hint = f"; nearest: {', '.join(near)}" if near else ""
    kind = "an archive" if is_archive(uri) else "a folder, a file, or a .tar, .tar.gz, .tgz or .zip archive"
    look = (
        f"ls {shlex.quote(str(local_path(uri).parent))}"
        if not is_remote(uri)
        else "correct the name, then run the command again"
    )
    return StorageError(
        f"There is no {shown}.", problems=[Problem(shown, "missing", f"{kind} that exists{hint}")], next_step=look
    )


def nearest_names(store: ObjectStore, uri: str, count: int = 3) -> list[str]:
    """Return existing names close to a missing one; [] where nothing can be listed."""
    if scheme_of(uri) in ("http", "https"):
        return []
    try:
        return _remote(store, uri, count) if is_remote(uri) else _local(uri, count)
    except (TaoSkillError, OSError):
        return []


def _local(uri: str, count: int) -> list[str]:
    path = local_path(uri)
    there = nearest_existing(path.parent)
    wanted = path.relative_to(there).parts[0]
    names = sorted(child.name for child in there.iterdir())[:_LOOKED_AT]
    return [str(there / name) for name in difflib.get_close_matches(wanted, names, n=count, cutoff=0.5)]


def _remote(store: ObjectStore, uri: str, count: int) -> list[str]:
    """Look in the folder of the name, then further up until something is found."""
    head, _, rest = uri.partition("://")
    parts = rest.rstrip("/").split("/")
    for depth in range(len(parts) - 1, 0, -1):
        prefix = f"{head}://{'/'.join(parts[:depth])}/"
        listed = patiently(functools.partial(store.list, prefix, _LOOKED_AT))
        names = sorted({f"{prefix}{one.name}" for one in listed})
        if names:
            return difflib.get_close_matches(uri, names, n=count, cutoff=0.5) or names[:count]
    return []
