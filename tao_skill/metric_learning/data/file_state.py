"""What tells one state of a file from another without reading it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["FileState", "file_state"]

FileState = tuple[str, int, int, int, int]


def file_state(path: Path) -> FileState:
    """Return the absolute path, inode, size in bytes, and times of change (contents, then anything) in nanoseconds.

    Raises:
        OSError: there is no such file.
    """
    facts = path.stat()
    return str(path.absolute()), facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
