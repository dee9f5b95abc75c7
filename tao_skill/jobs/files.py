"""Files that survive a crash: written whole or not at all, and the end of a log."""

import os
import tempfile
from pathlib import Path

_TAIL_BYTES = 64 * 1024


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
    """Return the last ``lines`` lines of a log; of a progress bar only its last state; [] without a log."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    shown = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]
    if size > _TAIL_BYTES:
        shown = shown[1:]
    kept = [line for line in shown if line]
    return kept[-lines:] if lines > 0 else []
