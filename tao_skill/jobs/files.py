"""Files that survive a crash: written whole or not at all, and the end of a log."""

import os
import tempfile
from pathlib import Path

_TAIL_BYTES = 64 * 1024
_MOST_BYTES = 64 * 1024 * 1024
_LONGEST_LINE = 2_000


def write_atomically(path: Path, text: str) -> None:
    """Write ``path`` so that whoever reads it, even after a power cut, finds the old text or the new, whole."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        # Names of files that are no UTF-8 come as halves of surrogate pairs, which can't be written.
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` durable; some network file systems can't, which is no failure."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def read_tail(path: Path, lines: int = 40) -> list[str]:
    """Return the last ``lines`` lines of a log; of a progress bar only its last state; [] without a log.

    Of a huge log, no more than what the last 64 MiB hold.
    """
    kept: list[str] = []
    try:
        with path.open("rb") as file:
            size, block = file.seek(0, os.SEEK_END), _TAIL_BYTES
            while True:
                file.seek(max(0, size - block))
                kept = _shown(file.read(), whole=block >= size)
                if len(kept) >= lines or block >= min(size, _MOST_BYTES):
                    break
                block = min(block * 8, _MOST_BYTES)
    except OSError:
        return []
    return kept[-lines:] if lines > 0 else []


def log_tail(path: Path) -> list[str]:
    """Return the last lines of a log for a job's record, which holds no more of a line than its beginning."""
    return [line[:_LONGEST_LINE] for line in read_tail(path)]


def _shown(content: bytes, *, whole: bool) -> list[str]:
    """Return the lines as a terminal shows them; the first one may lack its beginning where it is not the ``whole``."""
    first, *others = (line.rstrip("\r") for line in content.decode("utf-8", errors="replace").split("\n"))
    lines = [first, *others] if whole or "\r" in first else others
    return [shown for line in lines if (shown := line.rpartition("\r")[2].rstrip())]
