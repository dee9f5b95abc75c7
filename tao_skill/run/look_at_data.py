"""Look at the data sets of a run before a job of it is made; needs no deep-learning library."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tao_skill.config.folders import trouble_with_path
from tao_skill.config.keys import flatten, get_leaf, set_leaf
from tao_skill.config.placeholder import is_given
from tao_skill.config.typed import sound_spec
from tao_skill.config.wording import counted
from tao_skill.errors import DataError, Problem, TaoSkillError
from tao_skill.storage.locate import is_remote, local_path, redact

__all__ = ["DataReport", "check_staged_data", "look_at_local_data"]

_ROOTS = (
    "dataset.train_dataset",
    "dataset.val_dataset.reference",
    "dataset.val_dataset.query",
    "inference.input_path",
    "evaluate.gallery",
    "inference.gallery",
)
# As many names as can be listed in a moment: a dry run counts no further.
_QUICKLY = 100_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DataReport:
    """What is wrong with the data, and what a user should know of it."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def look_at_local_data(
    action: str, spec: Mapping[str, Any], *, thorough: bool, told: Collection[str] = ()
) -> DataReport:
    """Look at the data sets of a nested spec that are local folders; archives and remote ones come when they are here.

    ``thorough`` reads every image; without it they are counted, and not even that where there are very many. ``told``
    are keys whose path is known to be wrong.
    """
    given = {key: str(value) for key in _ROOTS if is_given(value := get_leaf(spec, key))}
    folders = {key: path for key, uri in given.items() if (path := _folder(uri)) is not None and key not in set(told)}
    if not folders:
        return DataReport()
    if not thorough and (large := [key for key, path in folders.items() if _is_large(path)]):
        return DataReport(warnings=[f"{key} has more than {_QUICKLY} files: the run looks at them" for key in large])
    local = copy.deepcopy(dict(spec))
    for key, path in folders.items():
        set_leaf(local, key, str(path))
    # What is not here yet looks like a file, or like nothing, to whoever looks for a folder.
    return _look(action, local, thorough, absent=(set(given) | set(told)) - set(folders))


def check_staged_data(action: str, spec: Mapping[str, Any], inputs: Mapping[str, list[str]]) -> None:
    """Look at all images of a spec whose inputs were brought here from ``inputs``.

    Raises:
        DataError: with all problems; what came from an archive or a server is named as the user named it.
    """
    names = staged_names(spec, inputs)
    if not names:  # the plan has looked at them
        return
    report = _look(action, spec, thorough=True)
    if report.problems:
        raise refusal(action, [_named(problem, names) for problem in report.problems])


def refusal(action: str, problems: list[Problem]) -> DataError:
    """Return the error for a run whose data can't be used."""
    return DataError(
        f"The {action} run can't start: its data has {counted(len(problems), 'problem')}.",
        problems=problems,
        next_step="correct what is listed and give the same command again",
    )


def staged_names(spec: Mapping[str, Any], inputs: Mapping[str, list[str]]) -> dict[str, str]:
    """Return what the user called each local path of a staged spec that lies elsewhere than he said."""
    names = {}
    for key, uris in inputs.items():
        value = get_leaf(spec, key)
        for path, uri in zip(value if isinstance(value, list) else [value], uris, strict=False):
            if isinstance(path, str) and path != uri:
                names[path] = redact(uri)
    return names


def _named(problem: Problem, names: Mapping[str, str]) -> Problem:
    return Problem(*(_renamed(part, names) for part in (problem.key, problem.value, problem.expected)))


def _renamed(text: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(text, str):
        return text
    for path, name in names.items():
        text = text.replace(path, name)
    return text


def _look(action: str, spec: Mapping[str, Any], thorough: bool, absent: Collection[str] = ()) -> DataReport:
    """Look at the data, and where it is no good at the model as well, so that both are told at once.

    Problems of ``absent`` keys are none.
    """
    try:
        from tao_skill.metric_learning.all_problems import model_problems
        from tao_skill.metric_learning.data.for_spec import look_at_data

        found = look_at_data(action, sound_spec(action, spec), decode=thorough, progress=_progress(thorough))
        problems = [problem for problem in found.problems if problem.key not in absent]
        if problems and thorough and not _has_remote(spec):
            problems += model_problems(action, spec)
    except ModuleNotFoundError as error:
        # Planning works without the packages of the trainer, and the trainer says which are missing.
        _log.debug("The data was not looked at: %s", error)
        return DataReport()
    # An action that starts tells its warnings itself.
    return DataReport(problems, [] if thorough else found.warnings)


def _progress(thorough: bool) -> Callable[[int, int], object] | None:
    if not thorough:
        return None
    from tao_skill.metric_learning.progress import Progress

    return Progress("images checked")


def _has_remote(spec: Mapping[str, Any]) -> bool:
    """Say whether the model's files may not be here yet."""
    values = flatten(spec).values()
    return any(isinstance(value, str) and is_remote(value) for value in values)


def _folder(uri: str) -> Path | None:
    try:
        path = None if is_remote(uri) else local_path(uri)
    except TaoSkillError:
        return None
    return path if path is not None and not trouble_with_path(path) and path.is_dir() else None


def _is_large(folder: Path) -> bool:
    seen = 0
    for _, folders, files in os.walk(folder):
        seen += len(folders) + len(files)
        if seen > _QUICKLY:
            return True
    return False
