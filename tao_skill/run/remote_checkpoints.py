"""Find what a job left behind on a server: by listing, and by its own records there; nothing else is fetched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from tao_skill.errors import TaoSkillError
from tao_skill.run.checkpoint_choice import SKIPPED_FOLDERS, Candidate, from_name
from tao_skill.run.checkpoint_files import RECORD_NAME, SUFFIXES, from_entry, parse_record
from tao_skill.storage.locate import scheme_of

__all__ = ["find_remote_candidates", "record_beside"]


def find_remote_candidates(uri: str, outputs: Iterable[str] = ()) -> list[Candidate]:
    """Return the models below a job's folder on a server, in order of their paths.

    ``outputs`` are names of files that the job's spec says it makes.
    """
    from tao_skill.storage.small import list_objects

    sizes = {one.name: one.size or 0 for one in list_objects(uri)}
    shown = [name for name in sizes if not SKIPPED_FOLDERS.intersection(PurePosixPath(name).parts[:-1])]
    models = [name for name in shown if PurePosixPath(name).suffix.lower() in SUFFIXES and sizes[name] > 0]
    found = {name: from_name(name) for name in models}
    for name in shown:
        if PurePosixPath(name).name == RECORD_NAME:
            found |= _recorded(uri, name, sizes)
    for output in outputs:
        name = PurePosixPath(output).name
        for key in [key for key in found if PurePosixPath(key).name == name]:
            found[key] = replace(found[key], named=frozenset({"output"}))
    return [found[key] for key in sorted(found)]


def record_beside(checkpoint: str) -> dict[str, Any] | None:
    """Return the record beside a checkpoint in S3; None where there is none, or it can't be asked for now."""
    if scheme_of(checkpoint) != "s3":
        return None
    from tao_skill.storage.small import read_bytes

    place = f"{checkpoint.rpartition('/')[0]}/{RECORD_NAME}"
    try:
        content = read_bytes(place)
    except TaoSkillError:
        return None  # the checkpoint itself will tell what is wrong, together with all other places
    return None if content is None else parse_record(content, place)


def _recorded(uri: str, name: str, sizes: Mapping[str, int]) -> dict[str, Candidate]:
    from tao_skill.storage.small import read_bytes

    content = read_bytes(f"{uri}/{name}")
    document = {} if content is None else parse_record(content, f"{uri}/{name}")
    folder = PurePosixPath(name).parent
    entries = [one for one in document.get("checkpoints", []) if isinstance(one, Mapping) and one.get("file")]
    placed = {str(folder / str(one["file"])): one for one in entries}
    return {path: from_entry(one, document, path) for path, one in placed.items() if sizes.get(path, 0) > 0}
