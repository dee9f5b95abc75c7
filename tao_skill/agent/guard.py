"""Refuse what reaches beyond the allowed roots: in a request, in a spec, and through links inside a data set."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tao_skill.agent.roots import Roots
from tao_skill.bank.skill import Skill
from tao_skill.config.keys import flatten
from tao_skill.config.placeholder import is_given
from tao_skill.errors import NotAllowedError, Problem
from tao_skill.jobs.reconcile import action_folder
from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import JobStore
from tao_skill.run.remote_jobs import remote_folder
from tao_skill.storage.locate import is_remote, local_path

__all__ = ["check_links", "check_plain", "check_record", "check_request", "check_search", "check_spec_places"]

_PLACES = re.compile(r"(.*\.)?(results_dir|dirpath|timing_cache)")
# Names of layers may hold slashes, and nothing is opened by them.
_NO_PLACES = frozenset({"gen_trt_engine.tensorrt.layers_precision"})
# What a caller may say of the cluster that a search runs on.
_CLUSTER, _CLUSTERS = "automl_ray_address", ("auto", "local")
_LOOKS_LIKE_A_PLACE = re.compile(r"[/\\]|\.\.|^~|\$\{|://")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def check_request(places: Mapping[str, str | None], skill: str | None, roots: Roots) -> None:
    """Look at the places that a request names itself.

    Raises:
        NotAllowedError: those that are not allowed, and a skill that is no plain name.
    """
    problems = [
        Problem(key, value, refusal) for key, value in places.items() if value and (refusal := roots.refusal(value))
    ]
    if skill is not None and not _NAME.fullmatch(skill):
        problems.append(Problem("skill", skill, "the name of a skill, not a path"))
    _raise_if_any(problems)


def check_spec_places(skill: Skill, spec: Mapping[str, Any], roots: Roots) -> None:
    """Look at every text of a nested spec: those that name places must be allowed, the others may name none.

    Raises:
        NotAllowedError: all that are not allowed.
    """
    places = _place_keys(skill)
    problems = []
    for key, value in flatten(spec).items():
        if key in _NO_PLACES or not is_given(value):
            continue
        is_place = _is_place(key, places)
        for text in _texts(value):
            refusal = roots.refusal(text) if is_place else _name_refusal(text)
            if refusal:
                problems.append(Problem(key, text, refusal))
    _raise_if_any(problems)


def check_plain(values: Mapping[str, Any]) -> None:
    """Refuse settings that name places: none of these does.

    Raises:
        NotAllowedError: all texts that look like a path, a URI or a reference to something else.
    """
    _raise_if_any(
        [
            Problem(key, text, why)
            for key, value in values.items()
            for text in _texts(value)
            if (why := _name_refusal(text))
        ]
    )


def check_search(skill: Skill, settings: Mapping[str, Any]) -> None:
    """Look at the settings of a search, wherever in a request they stood: they name no place, and search none.

    Raises:
        NotAllowedError: texts that look like a place, parameters that are one, and a cluster of the caller's choice.
    """
    check_plain({f"automl.{key}": value for key, value in settings.items()})
    problems = []
    address = settings.get(_CLUSTER)
    if address is not None and address not in _CLUSTERS:
        expected = f"one of {', '.join(_CLUSTERS)}: which cluster is for whoever starts the program to say"
        problems.append(Problem(f"automl.{_CLUSTER}", address, expected))
    places, points = _place_keys(skill), settings.get("automl_starting_points")
    for named in (settings.get("custom_param_ranges"), *(points if isinstance(points, list | tuple) else ())):
        for key in flatten(named) if isinstance(named, Mapping) else ():
            if any(_is_place(one, places) for one in _with_sections(str(key))):
                problems.append(Problem(f"automl: {key}", "searched", "a parameter that names no place"))
    _raise_if_any(problems)


def _place_keys(skill: Skill) -> set[str]:
    return {key for fact in skill.info.actions.values() for key in (*fact.inputs, *fact.outputs)}


def _is_place(key: str, places: Collection[str]) -> bool:
    """Say whether a key of a spec names a place, or stands below one of the ``places`` of its skill."""
    return any(key == one or key.startswith(f"{one}.") for one in places) or bool(_PLACES.fullmatch(key))


def _with_sections(key: str) -> Iterator[str]:
    """Yield a dotted key and those that it stands below: the parts of a range stand below its parameter."""
    while key:
        yield key
        key = key.rpartition(".")[0]


def check_record(store: JobStore, record: JobRecord, roots: Roots) -> None:
    """Refuse a job whose files lie elsewhere: whoever can write a record could point it anywhere.

    Of a job that worked on another machine the files are in the store; what its record says of folders names none here.

    Raises:
        NotAllowedError: its folder is not allowed.
    """
    elsewhere = remote_folder(store, record.job_id)
    folders = {"results_dir": record.results_dir, record.action or "action": str(action_folder(record))}
    folders = folders if elsewhere is None else {"results_dir": elsewhere}
    _raise_if_any([Problem(key, folder, why) for key, folder in folders.items() if (why := roots.refusal(folder))])


def check_links(inputs: Mapping[str, Sequence[str]], roots: Roots) -> None:
    """Walk through local data sets and refuse links that lead out of the allowed roots.

    Raises:
        NotAllowedError: the first such link of each input.
    """
    problems = []
    for key, uris in inputs.items():
        for uri in uris:
            if why := roots.refusal(uri):  # it may be a link itself
                problems.append(Problem(key, uri, why))
            elif not is_remote(uri) and (link := next(_leaving(local_path(uri), roots), None)):
                problems.append(Problem(key, str(link), f"no link that leads out of {roots}"))
    _raise_if_any(problems)


def _leaving(folder: Path, roots: Roots) -> Iterator[Path]:
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            identity = place.stat()
            entries = list(os.scandir(place)) if place.is_dir() else []
        except OSError:
            continue
        if (identity.st_dev, identity.st_ino) in seen:
            continue
        seen.add((identity.st_dev, identity.st_ino))
        for entry in entries:
            if entry.is_symlink() and roots.refusal(entry.path):
                yield Path(entry.path)
            elif _is_folder(entry):
                waiting.append(Path(entry.path))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, say, which leads nowhere
        return False


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield from _texts(name)
            yield from _texts(one)


def _name_refusal(text: str) -> str:
    if _LOOKS_LIKE_A_PLACE.search(text):
        return "a plain value: no path, URI or ${…} belongs here"
    return ""


def _raise_if_any(problems: Sequence[Problem]) -> None:
    if problems:
        count = "A value lies" if len(problems) == 1 else f"{len(problems)} values lie"
        raise NotAllowedError(
            f"{count} outside what this program may reach.",
            problems=problems,
            next_step="whoever starts the program can allow more with --allow-root FOLDER_OR_URI",
        )
