"""Check data before it is used: find it as a run would, bring it here, and look at every image."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tao_skill.bank.skill import Skill, find_skill
from tao_skill.errors import Problem, UsageError
from tao_skill.run.check_places import check_places, find_trouble
from tao_skill.run.data_sources import fill_data_sources
from tao_skill.run.packages import needing
from tao_skill.run.stage import stage_all

if TYPE_CHECKING:
    from tao_skill.metric_learning.data.preflight import DataSet

__all__ = ["SPEC_KEYS", "DataCheckRequest", "check_data"]

Action = Literal["train", "evaluate"]
Role = Literal["train", "reference", "query"]
SPEC_KEYS: dict[Role, str] = {
    "train": "dataset.train_dataset",
    "reference": "dataset.val_dataset.reference",
    "query": "dataset.val_dataset.query",
}
"""The key of a spec that names each set."""

_ROLES = {key: role for role, key in SPEC_KEYS.items()}
_log = logging.getLogger(__name__)


class DataCheckRequest(BaseModel):
    """Data sets to look at: below a data root, or one by one."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    data_root: str | None = Field(default=None, description="Path or URI below which the skill's data sources lie.")
    action: Action | None = Field(default=None, description="Whose data sources; null means train's and evaluate's.")
    train: str | None = Field(default=None, description="Training images: a folder of class folders, or an archive.")
    reference: str | None = Field(
        default=None, description="Reference images: a folder of class folders, or an archive."
    )
    query: str | None = Field(default=None, description="Query images: a folder of class folders, or an archive.")
    class_map: str | None = Field(default=None, description="YAML file that maps folder names to class names.")
    skill: str | None = Field(default=None, description="Name of the skill; null means the recognition skill.")
    workers: int = Field(default=4, ge=1, description="Threads that read images.")


def check_data(request: DataCheckRequest, progress: Callable[[int, int], object] | None = None) -> dict[str, Any]:
    """Return the report on the data sets as plain data; ``ok`` says that nothing is wrong with them.

    ``progress`` gets the number of images looked at so far and of all, and ends the work where it raises; without it
    stderr shows a bar.

    Raises:
        UsageError: no data was named.
        StorageError: data that can't be brought here; everything that is wrong.
    """
    sources, notes = _sources(request)
    with needing("train", "data check"):
        from tao_skill.metric_learning.data import preflight
        from tao_skill.metric_learning.progress import Progress
    paths = stage_all([uri for _, _, _, uri in sources])
    sets: list[DataSet] = [
        preflight.DataSet(name, role, path, task) for (name, role, task, _), path in zip(sources, paths, strict=True)
    ]
    report = preflight.check_data(
        sets, class_map=request.class_map, workers=request.workers, progress=progress or Progress("images looked at")
    )
    return {**report, "warnings": [*notes, *report["warnings"]]}


_Source = tuple[str, Role, str, str]
"""Name in the report, role, task, and path or URI."""


def _sources(request: DataCheckRequest) -> tuple[list[_Source], list[str]]:
    explicit = {"train": request.train, "reference": request.reference, "query": request.query}
    given: list[_Source] = [(role, role, "", uri) for role, uri in explicit.items() if uri]  # type: ignore[misc]
    if bool(given) == bool(request.data_root):
        raise UsageError(
            "Say which data: one root, or the data sets themselves.",
            problems=[Problem("--data-root", request.data_root, "a root, or --train, --reference and --query instead")],
            next_step="python -m tao_skill data check --data-root URI",
        )
    if given:
        check_places({f"--{role}": [uri] for _, role, _, uri in given}, None)
        return given, []
    return _below_root(find_skill(request.skill), str(request.data_root), request.action)


def _below_root(skill: Skill, root: str, action: Action | None) -> tuple[list[_Source], list[str]]:
    """Return the data sources of one action, or of all whose files are there."""
    actions: Sequence[Action] = [action] if action else ["train", "evaluate"]
    found: list[_Source] = []
    notes: list[str] = []
    for one in actions:
        filled, problems = fill_data_sources(skill.data_source_rows(one), root, {})
        if problems:
            raise UsageError("There is no data below this root.", problems=problems)
        names = {key: "train" if _ROLES[key] == "train" else f"{one} {_ROLES[key]}" for key in filled if key in _ROLES}
        places = {name: [str(filled[key])] for key, name in names.items()}
        trouble, _ = find_trouble(places, None, write=False)
        if trouble and (action or (not found and one == actions[-1])):
            check_places(places, None)
        if trouble:
            notes.append(f"{one} can't run with this root: " + "; ".join(str(problem) for problem in trouble))
            continue
        found += [(name, _ROLES[key], one, str(filled[key])) for key, name in names.items()]
    return found, notes
