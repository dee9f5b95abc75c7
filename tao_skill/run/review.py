"""Look at a search before it is launched: data, space, first proposals, and what it will cost, measured."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tao_skill.automl.algorithms import LANGUAGE_MODEL, make_searcher
from tao_skill.automl.history import Trial
from tao_skill.automl.searcher import ask_patiently
from tao_skill.bank.skill import Skill, find_skill
from tao_skill.config.keys import get_leaf
from tao_skill.errors import JobError, Problem, UsageError
from tao_skill.run.check_places import check_places
from tao_skill.run.dispatch import AUTOML
from tao_skill.run.make_plan import make_plan, search_settings
from tao_skill.run.measured_trial import measure_trial
from tao_skill.run.overrides import read_overrides
from tao_skill.run.plan import RunPlan
from tao_skill.run.prepare_search import PreparedSearch, new_history, prepare_search
from tao_skill.run.redaction import redacted
from tao_skill.run.request import RunRequest
from tao_skill.run.results_root import open_store
from tao_skill.run.skill_of_job import skill_asked
from tao_skill.run.stage import stage_inputs
from tao_skill.storage.locate import is_remote

__all__ = ["review_plan", "review_search"]

_PROPOSALS = 4
# So long a language model may think about them, all together.
_MODEL_SECONDS = 60.0
_ID = "review"


def review_search(request: RunRequest, measure_seconds: float) -> dict[str, Any]:
    """Return what a search would do; nothing is written below the results root.

    With ``measure_seconds`` above 0, the baseline trains in a scratch folder until its program says what a step takes,
    else for two epochs, or for as long as that: inputs are brought here for it.

    Raises:
        UsageError: the request would train without a search.
    """
    store = open_store(request.results_root)
    skill = skill_asked(request, store)
    plan = make_plan(request, skill, store)
    if plan.dispatch != AUTOML:
        raise UsageError(
            f"There is no search to review: {plan.dispatch_reason}.",
            problems=[Problem("automl_policy", plan.automl_policy, "on, for a skill that AutoML can tune")],
            next_step="python -m tao_skill run train --dry-run",
        )
    return review_plan(request, plan, measure_seconds=measure_seconds, model_seconds=_MODEL_SECONDS)


def review_plan(
    request: RunRequest, plan: RunPlan, *, measure_seconds: float = 0.0, model_seconds: float = 0.0
) -> dict[str, Any]:
    """Return what a planned search would do.

    ``model_seconds`` is how long a language model may think about its proposals; with 0 it is not asked.
    """
    prepared = _prepared(request, find_skill(plan.skill_dir), plan)
    prepared.check_packages()
    here = prepared
    measured: dict[str, Any] = {"state": "skipped"}
    if measure_seconds > 0:
        check_places(plan.inputs, None)
        here = prepared.on(stage_inputs(plan.spec, plan.inputs))
        measured = measure_trial(here, plan.skill, plan.action, measure_seconds)
    proposals, notes = _proposals(prepared, model_seconds)
    if prepared.at_once is None:
        notes.append("The estimate is that of one trial at a time: what the cluster has room for shows once it starts.")
    return {
        "skill": plan.skill,
        "program": prepared.program.script or " ".join(prepared.program.arguments),
        "device": plan.preflight.device,
        "gpus": [gpu.model_dump() for gpu in plan.preflight.gpus],
        "data": {key: _counted(uris, here, key) for key, uris in plan.inputs.items()},
        "search": plan.search,
        "baseline": dict(prepared.baseline),
        "first_proposals": proposals,
        "measured": measured,
        "estimate": _estimate(prepared, measured),
        "warnings": redacted([*plan.warnings, *plan.preflight.notes, *notes]),
    }


def _prepared(request: RunRequest, skill: Skill, plan: RunPlan) -> PreparedSearch:
    given = read_overrides(request.overrides, skill.info.spec_shorthand_keys, request.data_root)
    settings = search_settings(request, given)
    return prepare_search(skill, skill.schema("train"), plan.spec, plan.overrides, settings)


def _counted(uris: Sequence[str], here: PreparedSearch, key: str) -> list[dict[str, Any]]:
    """Return inputs with the numbers of their files and of the folders that hold some: the classes, mostly.

    ``here`` has local paths where they were brought here; what is an archive or remote still is not counted.
    """
    staged = get_leaf(here.form.base, key)
    places = list(staged) if isinstance(staged, list | tuple) else [staged]
    if len(places) != len(uris):
        places = list(uris)
    found = []
    for uri, place in zip(uris, map(str, places), strict=True):
        if is_remote(place) or not Path(place).is_dir():
            found.append({"uri": redacted(uri), "files": None, "folders": None})
            continue
        held = [len(files) for _, _, files in os.walk(place) if files]
        found.append({"uri": redacted(uri), "files": sum(held), "folders": len(held)})
    return found


def _proposals(prepared: PreparedSearch, model_seconds: float) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the values of the first trials, which no result has a say in yet, and why a language model gave none."""
    history, found = new_history(prepared, _ID), list[dict[str, Any]]()
    wanted = min(_PROPOSALS, prepared.settings.automl_max_recommendations)
    if prepared.algorithm in LANGUAGE_MODEL and model_seconds == 0:
        wanted = 1  # the baseline
    until = time.monotonic() + model_seconds
    with tempfile.TemporaryDirectory() as folder:
        searcher = make_searcher(
            history, prepared.space, prepared.settings, prepared.baseline, Path(folder),
            acceptable=prepared.form.problems,
        )  # fmt: skip
        while len(found) < wanted:
            try:
                one = ask_patiently(searcher, until)
            except JobError as error:
                history.notes.append(error.message)
                break
            if one is None:
                if searcher.is_thinking:
                    history.notes.append(f"The language model did not answer within {model_seconds:g} s.")
                break
            history.trials.append(
                Trial(number=one.number, origin=one.origin, values=one.values, epochs=one.epochs, state="running")
            )
            found.append({"trial": one.number, "origin": one.origin, "values": one.values})
    return found, history.notes


def _estimate(prepared: PreparedSearch, measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return the most that the search takes: every trial to the end, none stopped early."""
    settings, epochs = prepared.settings, prepared.form.full_epochs()
    trials = settings.automl_max_recommendations
    rounds = -(-trials // (prepared.at_once or 1))
    limit = settings.automl_max_minutes
    per_epoch = measured.get("seconds_per_epoch")
    if per_epoch is None:
        return {"epochs_at_most": trials * epochs, "minutes_at_most": limit}
    trial = (measured["start_seconds"] + per_epoch * epochs) / 60
    return {
        "epochs_at_most": trials * epochs,
        "seconds_per_epoch": per_epoch,
        "minutes_per_trial": trial,
        "minutes_at_most": min(trial * rounds, limit) if limit else trial * rounds,
    }
