"""Find what a job left behind: its files, and what its own record says of them."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tao_skill.errors import CheckpointError, Problem
from tao_skill.jobs.reconcile import LOG_FILE, RESULTS_FILE, STATUS_FILE, read_object
from tao_skill.run.checkpoint_choice import (
    EXTENSIONS,
    LOG_FOLDERS,
    OTHER_CHECKPOINTS,
    SKIPPED_FOLDERS,
    Candidate,
    from_name,
)

__all__ = ["RECORD_NAME", "SUFFIXES", "find_candidates", "from_entry", "parse_record", "read_record"]

RECORD_NAME = "checkpoints.json"
SUFFIXES = frozenset(suffix for suffixes in EXTENSIONS.values() for suffix in suffixes) | set(OTHER_CHECKPOINTS)


def find_candidates(folder: Path, outputs: Iterable[str] = ()) -> list[Candidate]:
    """Return the models below a job's folder, in order of their paths; a missing folder holds none.

    Empty files are left out, and links to another of the files too. ``outputs`` are files that the job's spec names;
    they may lie elsewhere and count only where they exist. What the job's results name as its checkpoint counts
    whatever it is called, and may be a folder.
    """
    models, records, results = _walk(folder)
    found = {key: from_name(key) for key in (_relative(path, folder) for path in models)}
    for record in records:
        for candidate in _recorded(record, folder):
            found[candidate.path] = candidate
    for output in outputs:
        path = Path(output)
        if path.is_file():
            key = _relative(path, folder)
            found[key] = replace(found.get(key) or from_name(key), named=frozenset({"output"}))
    # The results of the folder itself come before those of what lies in it.
    if handed_on := next(filter(None, (_handed_on(path, folder.resolve()) for path in results)), ""):
        one = found.get(handed_on) or from_name(handed_on)
        found[handed_on] = replace(one, named=one.named | {"result"})
    return [found[key] for key in sorted(found)]


def _walk(folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Return the models below a folder, the records of checkpoints, and the results, the outermost first."""
    models: list[Path] = []
    documents: dict[str, list[Path]] = {RECORD_NAME: [], RESULTS_FILE: []}
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - SKIPPED_FOLDERS)
        for name in sorted(files):
            path = Path(place) / name
            if name in documents:
                documents[name].append(path)
            elif path.suffix.lower() in SUFFIXES and _is_model(path, folder):
                models.append(path)
    return models, documents[RECORD_NAME], documents[RESULTS_FILE]


def _handed_on(results: Path, folder: Path) -> str:
    """Return the checkpoint that a job's results name, relative to its folder; empty where it is another job's."""
    named = read_object(results).get("checkpoint")
    if not isinstance(named, str) or not named:
        return ""
    try:
        path = (results.parent / named).resolve(strict=True)
    except (OSError, ValueError):
        return ""
    # A folder that the job writes other things into is no checkpoint.
    shared = path in results.resolve().parents or any((path / name).exists() for name in (STATUS_FILE, LOG_FILE))
    return "" if shared or folder not in path.parents else path.relative_to(folder).as_posix()


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the record that training keeps beside its checkpoints; None where there is none.

    Raises:
        CheckpointError: the record can't be read.
    """
    path = folder / RECORD_NAME
    try:
        return parse_record(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return None
    except OSError as error:
        raise _broken(str(path), str(error)) from error


def parse_record(content: bytes, place: str) -> dict[str, Any]:
    """Return what a record of checkpoints says; ``place`` is where it came from.

    Raises:
        CheckpointError: it is none.
    """
    try:
        document = json.loads(content)
    except ValueError as error:
        raise _broken(place, str(error)) from error
    if not isinstance(document, dict) or not isinstance(document.get("checkpoints", []), list):
        raise _broken(place, "not a record of checkpoints")
    return document


def _broken(path: str, reason: str) -> CheckpointError:
    return CheckpointError(
        f"The record of checkpoints can't be read: {path}.",
        problems=[Problem(path, reason, "a JSON object with a list `checkpoints`")],
        next_step="name the checkpoint itself: --overrides <action>.checkpoint=PATH",
    )


def _recorded(record: Path, folder: Path) -> list[Candidate]:
    document = read_record(record.parent) or {}
    entries = [entry for entry in document.get("checkpoints", []) if isinstance(entry, Mapping) and entry.get("file")]
    candidates = []
    for entry in entries:
        path = record.parent / str(entry["file"])
        if _holds_something(path):
            candidates.append(from_entry(entry, document, _relative(path, folder)))
    return candidates


def from_entry(entry: Mapping[str, Any], document: Mapping[str, Any], path: str) -> Candidate:
    """Return the candidate that an entry of a record of checkpoints describes."""
    monitor = str(document.get("monitor", ""))
    held = (entry.get("metrics") or {}).get(monitor)
    value = float(held) if isinstance(held, int | float) else None
    higher_is_better = document.get("mode") != "min"
    words = {word for word in ("best", "latest") if document.get(word) == entry["file"]}
    return Candidate(
        path,
        epoch=_whole(entry.get("epoch")),
        step=_whole(entry.get("step")),
        metric=value if value is None or higher_is_better else -value,
        metric_text="" if value is None else f"{monitor} = {value:.6g}",
        named=frozenset(words),
        recorded=True,
        periodic=entry.get("kind", "periodic") == "periodic",
    )


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _is_model(path: Path, folder: Path) -> bool:
    if not _holds_something(path):
        return False
    if not path.is_symlink():
        return True
    target, base = path.resolve(), folder.resolve()
    hidden = SKIPPED_FOLDERS | LOG_FOLDERS
    listed = target.is_relative_to(base) and hidden.isdisjoint(target.relative_to(base).parts)
    return not listed  # else the file itself is a candidate, under its own name


def _holds_something(path: Path) -> bool:
    """Say whether a path is a file that isn't empty; a training may remove it meanwhile."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > 0


def _relative(path: Path, folder: Path) -> str:
    # Lexical, so that a link keeps its own name.
    absolute, base = Path(os.path.normpath(path.absolute())), Path(os.path.normpath(folder.absolute()))
    return absolute.relative_to(base).as_posix() if absolute.is_relative_to(base) else absolute.as_posix()
