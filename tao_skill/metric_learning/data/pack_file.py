"""Open, share and remove the file of a pack, so that all processes that have one open at a path have the same one.

Who uses the file holds a shared lock of it, who removes it an exclusive one. Until the lock is there the path may come
to name another file, or none: who has it looks again. Beside the file lies that of the turn, which is held for moments
by whoever begins the file or gives out its space. It goes only with the file, and first, so that there is one for all.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

fcntl: Any = None
with suppress(ImportError):  # Windows has none
    import fcntl

__all__ = ["Held", "can_lock", "remove_unused"]

_ATTEMPTS = 100


def can_lock() -> bool:
    """Tell whether this system has the locks that a pack needs."""
    return fcntl is not None


class Held:
    """A file that is open and in use, so that no process removes it; the system lets go of it when the process ends."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make an empty one where it is missing.

        Raises:
            OSError: it can't be read or written, or others replace it all the time.
        """
        self.path = path
        with ExitStack() as opened:
            self.file = _open_in_use(path)
            opened.callback(self._let_go)
            self._turn = os.open(_turn_of(path), os.O_RDWR | os.O_CREAT, 0o644)
            opened.callback(os.close, self._turn)
            os.utime(self.file)
            self._opened = opened.pop_all()
        self._threads = threading.Lock()

    def close(self) -> None:
        """Let go of the file."""
        self._opened.close()

    @property
    def bytes(self) -> int:
        """Return the length of the file."""
        return os.fstat(self.file).st_size

    def is_at_its_path(self) -> bool:
        """Tell whether the next one who opens the path gets this file."""
        return _names(self.path, self.file)

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Keep other threads and processes from beginning the file or changing its length meanwhile."""
        with self._threads:
            fcntl.flock(self._turn, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._turn, fcntl.LOCK_UN)

    def _let_go(self) -> None:
        fcntl.flock(self.file, fcntl.LOCK_UN)  # a mapping keeps a copy of the descriptor
        os.close(self.file)


def remove_unused(path: Path) -> bool:
    """Delete a pack and tell so, unless a process uses it."""
    if not can_lock():
        return False
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _names(path, file):
            return False
        _turn_of(path).unlink(missing_ok=True)
        path.unlink()
    except OSError:
        return False
    finally:
        os.close(file)
    return True


def _open_in_use(path: Path) -> int:
    for _ in range(_ATTEMPTS):
        with ExitStack() as opened:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            opened.callback(os.close, file)
            fcntl.flock(file, fcntl.LOCK_SH)
            if _names(path, file):
                opened.pop_all()
                return file
    raise OSError(f"{path} is replaced all the time")


def _names(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _turn_of(path: Path) -> Path:
    return path.with_suffix(".lock")
