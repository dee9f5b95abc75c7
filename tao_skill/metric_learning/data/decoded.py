"""Remember which sets of files were decoded, so that the same files are not decoded again to look for bad ones."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tao_skill.config.cache_folder import cache_directory
from tao_skill.errors import StorageError

__all__ = ["recall", "remember"]

_FOLDER = "decoded"
# What was found with other rules of decoding says nothing about these.
_RULES = "1"
_DAYS = 90.0


def recall(paths: Sequence[Path]) -> dict[Path, str] | None:
    """Return which of the files can't be decoded, and why; None where they, as they are now, were not looked at."""
    place = _place(paths)
    if place is None:
        return None
    try:
        bad = json.loads(place.read_text(encoding="utf-8"))
        found = {paths[int(index)]: str(reason) for index, reason in bad.items()}
        os.utime(place)
    except (OSError, ValueError, IndexError, AttributeError):
        return None
    return found


def remember(paths: Sequence[Path], bad: Mapping[Path, str]) -> None:
    """Keep what was found; what can't be kept is looked for again."""
    place = _place(paths)
    if place is None:
        return
    found = {index: bad[path] for index, path in enumerate(paths) if path in bad}
    temporary = place.with_suffix(f".{os.getpid()}.tmp")
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(found), encoding="utf-8")
        temporary.replace(place)
        _forget_old(place.parent)


def _place(paths: Sequence[Path]) -> Path | None:
    """Return the file for these files in this state: their names, sizes and times of change make its name."""
    state = hashlib.sha256(_RULES.encode())
    try:
        for path in paths:
            facts = path.stat()
            state.update(f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
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
