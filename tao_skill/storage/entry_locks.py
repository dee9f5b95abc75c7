"""Locks by which a process uses entries of the cache; the system lets go of them when it ends, however it does."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

fcntl: Any = None
with suppress(ImportError):  # Windows has none: entries in use are then not protected from `data cache prune`
    import fcntl

__all__ = ["USED", "hold", "let_go", "locks_in_use", "release", "unused"]

USED = ".used"
_held: dict[Path, int] = {}


def hold(folder: Path) -> None:
    """Keep an entry from being removed while this process lives, or one that inherits its locks.

    Raises:
        OSError: a cache that can only be read.
    """
    path = folder / USED
    while folder not in _held and fcntl is not None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)  # whoever removes it has it but for a moment
        except OSError:
            os.close(descriptor)
            raise
        if _is_at(path, descriptor):
            _held[folder] = descriptor
        else:  # removed meanwhile, and perhaps made anew
            os.close(descriptor)


def let_go(folder: Path) -> None:
    """Let go of an entry, where this process uses it."""
    if folder in _held:
        os.close(_held.pop(folder))


def release() -> None:
    """Let go of all entries that this process uses."""
    while _held:
        os.close(_held.popitem()[1])


def locks_in_use() -> list[int]:
    """Return the descriptors by which this process uses entries.

    A program that inherits them uses the entries too, for as long as it lives, whatever becomes of this process.
    """
    return list(_held.values())


@contextmanager
def unused(folder: Path) -> Iterator[bool]:
    """Say whether no process uses the entry, and keep it so while the block runs."""
    if fcntl is None:
        yield True
        return
    if folder in _held:
        yield False
        return
    try:
        descriptor = os.open(folder / USED, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:  # it is gone, or another user's
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield _is_at(folder / USED, descriptor)
    finally:
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    """Say whether a file is still the one that was opened at its path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
