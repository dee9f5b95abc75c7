"""Look at a search before it is launched: data, space, first proposals, and what it will cost, measured."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tao_skill.automl.algorithms import make_searcher
from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.bank.skill import Skill, find_skill
from tao_skill.errors import Problem, UsageError
from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import JobStore
from tao_skill.run.check_places import check_places
from tao_skill.run.dispatch import AUTOML
from tao_skill.run.make_plan import make_plan, search_settings
from tao_skill.run.overrides import read_overrides
from tao_skill.run.plan import RunPlan
from tao_skill.run.prepare_search import PreparedSearch, new_history, prepare_search
from tao_skill.run.redaction import redacted
from tao_skill.run.request import RunRequest
from tao_skill.run.results_root import open_store
from tao_skill.run.slots import LocalSlots
from tao_skill.run.stage import stage_inputs
from tao_skill.storage.locate import is_remote

__all__ = ["review_search"]

_PROPOSALS = 4
_ID = "review"


def review_search(request: RunRequest, measure_seconds: float) -> dict[str, Any]:
    """Return what a search would do; nothing is written below the results root.

    With ``measure_seconds`` above 0, the baseline trains for an epoch, or for as long as that, in a scratch folder:
    inputs are brought here for it.

    Raises:
        UsageError: the request would train without a search.
    """
    store, skill = open_store(request.results_root), find_skill(request.skill)
    plan = make_plan(request, skill, store)
    if plan.dispatch != AUTOML:
        raise UsageError(
            f"There is no search to review: {plan.dispatch_reason}.",
            problems=[Problem("automl_policy", plan.automl_policy, "on, for a skill that AutoML can tune")],
            next_step="python -m tao_skill run train --dry-run",
        )
    prepared = _prepared(request, skill, plan)
    history = new_history(prepared, _ID)
    measured = _measured(prepared, plan, measure_seconds) if measure_seconds > 0 else {"state": "skipped"}
    return {
        "skill": plan.skill,
        "program": prepared.program.script or " ".join(prepared.program.arguments),
        "device": plan.preflight.device,
        "gpus": [gpu.model_dump() for gpu in plan.preflight.gpus],
        "data": {key: [_counted(uri) for uri in uris] for key, uris in plan.inputs.items()},
        "search": plan.search,
        "baseline": dict(prepared.baseline),
        "first_proposals": _proposals(prepared, history),
        "measured": measured,
        "estimate": _estimate(prepared, measured),
        "warnings": redacted([*plan.warnings, *plan.preflight.notes]),
    }


def _prepared(request: RunRequest, skill: Skill, plan: RunPlan) -> PreparedSearch:
    given = read_overrides(request.overrides, skill.info.spec_shorthand_keys, request.data_root)
    settings = search_settings(request, given)
    return prepare_search(skill, skill.schema("train"), plan.spec, plan.overrides, settings)


def _counted(uri: str) -> dict[str, Any]:
    """Return an input with the number of files in its folder; archives and remote ones are not counted."""
    shown = redacted(uri)
    if is_remote(uri) or not Path(uri).is_dir():
        return {"uri": shown, "files": None}
    return {"uri": shown, "files": sum(len(files) for _, _, files in os.walk(uri))}


def _proposals(prepared: PreparedSearch, history: SearchHistory) -> list[dict[str, Any]]:
    """Return the values of the first trials, which no result has a say in yet."""
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        searcher = make_searcher(
            history, prepared.space, prepared.settings, prepared.baseline, Path(folder),
            acceptable=prepared.form.problems,
        )  # fmt: skip
        while len(found) < min(_PROPOSALS, prepared.settings.automl_max_recommendations):
            one = searcher.ask()
            if one is None:
                break
            history.trials.append(
                Trial(number=one.number, origin=one.origin, values=one.values, epochs=one.epochs, state="running")
            )
            found.append({"trial": one.number, "origin": one.origin, "values": one.values})
    return found


def _measured(prepared: PreparedSearch, plan: RunPlan, seconds: float) -> dict[str, Any]:
    """Train the baseline for one epoch, start-up included, or as long as ``seconds`` allow."""
    check_places(plan.inputs, None)
    on = prepared.on(stage_inputs(plan.spec, plan.inputs))
    trial = Trial(number=0, origin="baseline", values=dict(prepared.baseline), epochs=1)
    with tempfile.TemporaryDirectory() as folder:
        store = JobStore(folder)
        record = store.create(
            JobRecord(job_id=_ID, skill=plan.skill, action=plan.action, results_dir=str(store.folder(_ID)))
        )
        (store.folder(_ID) / plan.action).mkdir()
        slots = LocalSlots(on.form, on.program, store, record, metric=on.metric, slots=1)
        try:
            return _watch(slots, trial, seconds)
        finally:
            slots.close()


def _watch(slots: LocalSlots, trial: Trial, seconds: float) -> dict[str, Any]:
    begin = time.monotonic()
    running = slots.start(trial)
    reports: list[tuple[int, float | None]] = []
    while True:
        progress = running.poll()
        reports += progress.reports
        taken = time.monotonic() - begin
        if progress.end is not None:
            break
        if taken > seconds:
            running.stop("the review has seen enough")
        time.sleep(0.05)
    if progress.end.failure is not None:
        return {"state": "failed", "seconds": taken, "reason": progress.end.failure.message}
    done = progress.end.state == "done"
    return {"state": "an epoch" if done else "less than an epoch", "seconds": taken, "epochs": 1 if done else 0,
            "values": [value for _, value in reports]}  # fmt: skip


def _estimate(prepared: PreparedSearch, measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return the most that the search takes: every trial to the end, none stopped early."""
    settings, epochs = prepared.settings, prepared.form.full_epochs()
    rounds = -(-settings.automl_max_recommendations // settings.automl_max_concurrent)
    limit = settings.automl_max_minutes
    if "seconds" not in measured or measured["state"] == "failed":
        return {"epochs_at_most": rounds * epochs, "minutes_at_most": limit}
    minutes = measured["seconds"] * epochs * rounds / 60
    known = measured["state"] == "an epoch"
    return {
        "epochs_at_most": rounds * epochs,
        "seconds_per_epoch": measured["seconds"] if known else None,
        "minutes_per_trial": measured["seconds"] * epochs / 60 if known else None,
        "minutes_at_most": min(minutes, limit) if known and limit else minutes if known else limit,
    }
