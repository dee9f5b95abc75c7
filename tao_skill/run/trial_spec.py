"""The spec of one trial: the run's own spec with recommended values, its budget, and where it goes on from."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tao_skill.bank.skill import Skill
from tao_skill.bank.tables import InferenceRow
from tao_skill.config.check import check_spec
from tao_skill.config.derive import derived_values
from tao_skill.config.foreign import is_own
from tao_skill.config.keys import flatten, nest
from tao_skill.config.leaves import schema_leaves
from tao_skill.errors import CheckpointError, Problem
from tao_skill.run.checkpoint_choice import select
from tao_skill.run.inference_functions import Facts, Files, resolve_fields
from tao_skill.run.parent_job import files_below

__all__ = ["ACTION", "TrialForm", "TrialSpec", "goes_on_from"]

ACTION = "train"
RECOMMENDED = "recommended"
MONITORED = "metric of the search"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialSpec:
    """A trial's nested spec, and where its values came from as far as they differ from the run's."""

    spec: dict[str, Any]
    provenance: dict[str, str]


@dataclass(frozen=True)
class TrialForm:
    """All that trials have in common; ``base`` is the run's complete spec with local paths.

    ``monitored`` holds the settings by which each chooses its best checkpoint, where they aren't the run's own.
    """

    skill: Skill
    schema: Mapping[str, Any]
    base: Mapping[str, Any]
    explicit: Mapping[str, Any]
    monitored: Mapping[str, Any] = field(default_factory=dict)

    @property
    def budget_key(self) -> str:
        """Return the spec key that says how long a training lasts; empty where the skill names none."""
        marked = [leaf.key for leaf in schema_leaves(self.schema) if leaf.facts.get("x_budget")]
        named = self.skill.info.spec_shorthand_keys.get("num_epochs", "")
        known = {leaf.key for leaf in schema_leaves(self.schema)}
        return marked[0] if marked else named if named in known else ""

    @property
    def can_go_on(self) -> bool:
        """Say whether the skill names the spec key by which a training goes on from a checkpoint."""
        known = {leaf.key for leaf in schema_leaves(self.schema)}
        rows = self.skill.inference_rows(ACTION, automl=True)
        return any(row.spec_field in known for row in rows if _goes_on(row))

    def full_epochs(self) -> int:
        """Return how long a full training lasts; 1 where the skill doesn't say."""
        value = flatten(self.base).get(self.budget_key)
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 1

    def problems(self, values: Mapping[str, Any]) -> list[Problem]:
        """Return what is wrong with recommended values, by every rule of the skill."""
        flat = flatten(self.base) | self._derived(values) | dict(values)
        return check_spec(ACTION, nest(flat), self.schema)[0]

    def build(
        self, values: Mapping[str, Any], epochs: int, results_dir: Path, own: Files, parent: Files | None
    ) -> TrialSpec:
        """Return the spec of a trial; it goes on from its ``own`` checkpoints, else from those of ``parent``."""
        recommended = self._derived(values) | dict(values)
        if self.budget_key:
            recommended[self.budget_key] = epochs
        flat = flatten(self.base) | self._trial_values() | recommended | self._outputs(results_dir)
        resuming = own if own.candidates else parent
        rows = self.skill.inference_rows(ACTION, automl=True)
        # A checkpoint that the user named is where the trial began; going on, it has newer ones.
        gone = {row.spec_field for row in rows if resuming and _goes_on(row)}
        facts = Facts(
            ACTION, str(results_dir), {key: one for key, one in self.explicit.items() if key not in gone}, flat,
            own=own, resume_from=resuming, recommended=frozenset(values),
        )  # fmt: skip
        # Weights to start from were chosen when the run was planned; its folder is the trial's own.
        rows = [row for row in rows if row.function != "automl_assign_ptm" and row.spec_field != "results_dir"]
        found = {one.key: one for one in resolve_fields(rows, facts) if one.value is not None}
        flat |= {key: one.value for key, one in found.items()}
        provenance = dict.fromkeys(self.monitored, MONITORED) | dict.fromkeys(recommended, RECOMMENDED)
        provenance |= {key: one.source for key, one in found.items()}
        return TrialSpec(nest(flat), provenance)

    def _derived(self, values: Mapping[str, Any]) -> dict[str, Any]:
        if not is_own(ACTION, self.schema):
            return {}
        given = nest(dict(self.explicit) | dict(values))
        return {key: value for key, (value, _) in derived_values(ACTION, given).items()}

    def _trial_values(self) -> dict[str, Any]:
        marked = {
            leaf.key: leaf.facts["x_trial_value"]
            for leaf in schema_leaves(self.schema)
            if "x_trial_value" in leaf.facts and leaf.key not in self.explicit
        }
        return marked | dict(self.monitored)

    def _outputs(self, results_dir: Path) -> dict[str, Any]:
        known = {leaf.key for leaf in schema_leaves(self.schema)}
        folders = [key for key, fact in self.skill.info.actions[ACTION].outputs.items() if fact.type == "folder"]
        # Folders that all trials would share.
        own: dict[str, Any] = {f"{ACTION}.results_dir": "", f"{ACTION}.checkpointer.dirpath": None}
        places = own | dict.fromkeys(["results_dir", *folders], str(results_dir))
        return {key: place for key, place in places.items() if key in known}


def _goes_on(row: InferenceRow) -> bool:
    return row.function.endswith("resume_model")


def goes_on_from(job_id: str, folder: Path) -> Files:
    """Return the checkpoints of a trial that a training can go on from; the best one holds weights alone.

    ``folder`` is where its action writes. Where it can't be told which one is the newest there are none, as with a
    program that tells no epochs: the training begins anew.
    """
    files = files_below(job_id, ACTION, folder, folder.parent)
    files = replace(files, candidates=[one for one in files.candidates if one.periodic])
    try:
        if files.candidates:
            select(files.candidates, "torch", "latest")
    except CheckpointError as error:
        _tell_once(job_id, error.message)
        return replace(files, candidates=[])
    return files


@functools.cache
def _tell_once(job_id: str, why: str) -> None:
    """Say of a trial that its checkpoints are of no use; they are looked at again and again."""
    _log.warning("%s can't be gone on from: %s", job_id, why)
