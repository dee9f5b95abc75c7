"""Remember which sets of files were decoded, so that sound files are not decoded again to look for bad ones.

Only that a file is sound is taken for granted while it stays as it is. What failed may have failed for a reason that
passes, such as a disk that answered too late: it is remembered as doubtful, and looked at each time.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

import PIL

from tao_skill.config.cache_folder import cache_directory
from tao_skill.errors import StorageError
from tao_skill.metric_learning.data.file_state import file_state

__all__ = ["doubtful", "remember"]

_FOLDER = "decoded"
# What was found with other rules of decoding says nothing about these.
_RULES = f"2 {PIL.__version__}"
_DAYS = 90.0


def doubtful(paths: Sequence[Path]) -> list[Path]:
    """Return the files that may not decode: those that failed before, or all where they, as they are, are new here."""
    place = _place(paths)
    if place is None:
        return list(paths)
    try:
        found = [paths[int(index)] for index in json.loads(place.read_text(encoding="utf-8"))]
        os.utime(place)
    except (OSError, ValueError, IndexError, TypeError):
        return list(paths)
    return found


def remember(paths: Sequence[Path], bad: Collection[Path]) -> None:
    """Keep which of the files failed; what can't be kept is looked for again."""
    place = _place(paths)
    if place is None:
        return
    found = [index for index, path in enumerate(paths) if path in bad]
    temporary = place.with_suffix(f".{os.getpid()}.tmp")
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(found), encoding="utf-8")
        temporary.replace(place)
        _forget_old(place.parent)


def _place(paths: Sequence[Path]) -> Path | None:
    """Return the file for these files in this state, which makes its name."""
    state = hashlib.sha256(_RULES.encode())
    try:
        for path in paths:
            state.update("\0".join(map(str, file_state(path))).encode() + b"\n")
        return cache_directory() / _FOLDER / f"{state.hexdigest()}.json"
    except (OSError, UnicodeEncodeError, StorageError):  # a link to nothing, say
        return None


def _forget_old(folder: Path) -> None:
    oldest = time.time() - _DAYS * 86_400
    # Closed here: another process may take a file away meanwhile, and the error would leave the list open.
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if entry.stat().st_mtime < oldest:
                    Path(entry.path).unlink()
