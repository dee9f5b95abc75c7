"""Look whether what a run reads is there, and whether what it makes can be written, before anything is made."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tao_skill.bank.skill_info import InputFact, OutputFact
from tao_skill.config.folders import nearest_existing, trouble_with_path
from tao_skill.config.keys import get_leaf
from tao_skill.errors import Problem, TaoSkillError
from tao_skill.run.stage import find_inputs
from tao_skill.run.weight_files import trouble_with_weights
from tao_skill.storage.locate import is_remote, local_path, redact

__all__ = ["input_problems", "output_keys", "output_problems", "results_root_problems"]


def input_problems(spec: Mapping[str, Any], facts: Mapping[str, InputFact], *, own: bool = True) -> list[Problem]:
    """Return what is wrong with the local inputs of a nested spec; remote ones are left alone.

    Only what costs nothing is looked at: that a path exists and that a file of weights begins and ends like one; and
    where the data are this package's ``own``, that a data set is an archive by its name or a folder that holds folders.
    """
    return [
        problem
        for key, uris in find_inputs(spec, facts).items()
        for uri in uris
        if not is_remote(uri)
        for problem in _problems(key, uri, facts.get(key), own and _holds_classes(key, spec, facts))
    ]


def output_keys(action: str, facts: Mapping[str, OutputFact]) -> list[str]:
    """Return the spec keys of files and folders that an action writes."""
    return list(dict.fromkeys([*facts, "results_dir", f"{action}.results_dir"]))


def output_problems(action: str, spec: Mapping[str, Any], facts: Mapping[str, OutputFact]) -> list[Problem]:
    """Return why what a nested spec names as outputs can't be written, as far as that can be seen."""
    files = {key for key, fact in facts.items() if fact.type == "file"}
    return [
        Problem(key, redact(uri), expected)
        for key, uris in find_inputs(spec, output_keys(action, facts)).items()
        for uri in uris
        if (expected := _wanted_of_file(uri) if key in files else _wanted_of_folder(uri))
    ]


def _wanted_of_file(uri: str) -> str:
    if is_remote(uri):
        return "a local file; with --results-root URI what lies in the job's folder goes to a server"
    try:
        path = local_path(uri)
    except TaoSkillError as error:
        return _told(error)
    if not trouble_with_path(path) and path.is_dir():
        return f"a file; {path} is a folder"
    there = nearest_existing(path.parent)
    if not there.is_dir():
        return f"a file in a folder; {there} is a file"
    return "" if os.access(there, os.W_OK | os.X_OK) else f"a file that can be written; {there} can't be"


def _wanted_of_folder(uri: str) -> str:
    if is_remote(uri):
        return "a local folder; for a server use --results-root"
    try:
        there = nearest_existing(local_path(uri))
    except TaoSkillError as error:
        return _told(error)
    return _wanted_of_place(there)


def _wanted_of_place(there: Path) -> str:
    """Return why no folder can be made in, or at, the nearest place that is there."""
    if not there.is_dir():
        return f"a folder; {there} is a file"
    return "" if os.access(there, os.W_OK | os.X_OK) else f"a folder that can be made; {there} can't be written"


def results_root_problems(root: Path) -> list[Problem]:
    """Return why the results root can't be written, if it can't."""
    wanted = _wanted_of_place(nearest_existing(root))
    return [Problem("results_root", str(root), f"{wanted}: give another --results-root")] if wanted else []


def _holds_classes(key: str, spec: Mapping[str, Any], facts: Mapping[str, InputFact]) -> bool:
    if key == "inference.input_path":
        return bool(get_leaf(spec, "inference.inference_input_type") == "classification_folder")
    fact = facts.get(key)
    return fact is not None and fact.type == "folder" and key.startswith("dataset.")


def _problems(key: str, uri: str, fact: InputFact | None, holds_classes: bool) -> Iterator[Problem]:
    try:
        path = local_path(uri)
    except TaoSkillError as error:
        yield Problem(key, uri, _told(error))
        return
    if trouble := trouble_with_path(path):
        yield Problem(key, uri, f"a path that exists; {trouble}")
    elif fact is not None and fact.type == "file":
        if trouble := _trouble_with_file(path):
            yield Problem(key, uri, f"a file that can be read; {trouble}")
    elif holds_classes and path.is_dir():
        if not _any_folder(path):
            yield Problem(key, uri, f"a folder that holds a folder for each class; {path} holds none")
    elif holds_classes:
        from tao_skill.storage.archive_names import is_archive

        if not is_archive(path):
            yield Problem(
                key, uri, "a folder that holds a folder for each class, or a .tar, .tar.gz, .tgz or .zip of it"
            )


def _told(error: TaoSkillError) -> str:
    return f"{error.message} Expected: {'; '.join(one.expected for one in error.problems)}"


def _trouble_with_file(path: Path) -> str:
    if path.is_dir():
        return "this is a folder"
    try:
        return trouble_with_weights(path)
    except OSError as error:
        return error.strerror or str(error)


def _any_folder(path: Path) -> bool:
    try:
        with os.scandir(path) as entries:
            return any(entry.is_dir() for entry in entries)
    except OSError:
        return True  # the action tells what it can't read
