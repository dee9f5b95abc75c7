"""A piece of a log: at most so many whole lines, and the bytes between which they lie."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tao_skill.agent.requests import LogsRequest

__all__ = ["cut", "read_piece"]

_LONGEST_LINE = 2000
_PIECE = 64 * 1024
_LINE = re.compile(rb"[^\n]*\n|[^\n]+\Z")


def read_piece(path: Path, request: LogsRequest) -> tuple[list[str], int, int, int]:
    """Return at most so many whole lines of a log, with the bytes they start and end at, and the log's size."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if request.after is not None:
                start = min(request.after, size)
                file.seek(start)
                raw = file.read(_PIECE)
            else:
                stop = size if request.before is None else min(request.before, size)
                start = max(0, stop - _PIECE)
                file.seek(start)
                raw = file.read(stop - start)
    except OSError:
        return [], 0, 0, 0
    pieces = _LINE.findall(raw)
    if request.after is not None:
        kept = pieces[: request.lines]
        if start + len(raw) < size and len(kept) == len(pieces) > 1 and not kept[-1].endswith(b"\n"):
            kept = kept[:-1]
    else:
        kept = pieces[-request.lines :]
        if start > 0 and len(kept) == len(pieces) > 1:  # its first line may have begun before
            kept = kept[1:]
        start += len(raw) - sum(map(len, kept))
    end = start + sum(map(len, kept))
    return [_shown(line) for line in kept], start, end, size


def _shown(line: bytes) -> str:
    """Return a line as a terminal would show it: of a progress bar its last state."""
    return cut(line.decode("utf-8", errors="replace").rstrip("\r\n").rpartition("\r")[2])


def cut(line: str) -> str:
    """Return a line as far as it is told."""
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} …"
