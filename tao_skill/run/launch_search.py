"""Start a search for a planned training, or go on with one, and say what it came to."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from tao_skill.automl.history import SearchHistory
from tao_skill.bank.skill import Skill
from tao_skill.config.automl import AutoML
from tao_skill.config.automl_settings import change_settings
from tao_skill.config.keys import flatten
from tao_skill.errors import JobError, Problem
from tao_skill.jobs.identity import this_process
from tao_skill.jobs.reconcile import action_folder, waits_for_this_process
from tao_skill.jobs.record import BROKEN_OFF, JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.check_places import check_places
from tao_skill.run.cluster_needs import refuse_unshared
from tao_skill.run.final_evaluation import evaluate_winner, lacks_evaluation
from tao_skill.run.make_plan import search_settings
from tao_skill.run.overrides import read_overrides
from tao_skill.run.plan import RunPlan
from tao_skill.run.prepare_search import PreparedSearch, new_history, prepare_search
from tao_skill.run.publish import publishing
from tao_skill.run.publish_trials import publishing_trials, trials_left_behind
from tao_skill.run.record import give_up, refuse_canceled
from tao_skill.run.remote_jobs import refuse_foreign
from tao_skill.run.request import RunRequest
from tao_skill.run.result import RunResult, result_of
from tao_skill.run.search_files import (
    BEST_REC,
    HISTORY,
    PAGE,
    REPORT,
    save_documents,
    save_history,
    save_spec,
)
from tao_skill.run.search_history import load_history
from tao_skill.run.search_job import run_search
from tao_skill.run.search_lock import own_search
from tao_skill.run.signed_links import with_links
from tao_skill.run.skill_of_job import skill_of
from tao_skill.run.stage import find_inputs, stage_inputs
from tao_skill.storage.locate import redact

__all__ = ["launch_search", "resume_search", "settings_to_go_on_with", "summary"]

_log = logging.getLogger(__name__)
_GIVEN = ("override", "shorthand")


def launch_search(
    request: RunRequest, skill: Skill, plan: RunPlan, spec: dict[str, Any], *, store: JobStore, record: JobRecord
) -> RunResult:
    """Search for the values of a planned training, whose ``spec`` has local paths, and return how it ended."""
    with own_search(record), _told(store, record):
        given = read_overrides(request.overrides, skill.info.spec_shorthand_keys, request.data_root)
        settings = search_settings(request, given)
        prepared = prepare_search(skill, skill.schema("train"), plan.spec, plan.overrides, settings)
        # Nodes of a cluster bring the inputs to themselves.
        prepared = prepared.on(plan.spec if settings.automl_platform == "ray" else spec)
        history = new_history(prepared, record.job_id)
        history.data_root = redact(request.data_root) if request.data_root else None
        return _run(prepared, store, record, history, request.data_root)


def resume_search(store: JobStore, job_id: str, changes: Mapping[str, Any] | None = None) -> RunResult:
    """Go on with a search that broke off: trials that ran start again from their newest checkpoints.

    Of one that is complete but for the measuring of its winner, only that is done.

    ``changes`` are settings that it goes on with, such as more time or another platform.

    Raises:
        JobError: no such search, or one that is complete or that another process works on.
        SpecError: changes of what must stay as it was.
    """
    record = store.load(job_id)
    refuse_foreign(store, record, "resumed")
    load_history(record)  # nothing is locked of a job that is no search
    with own_search(record):
        return _go_on(store, store.reconcile(store.load(record.job_id)), changes or {})


def settings_to_go_on_with(history: SearchHistory, changes: Mapping[str, Any]) -> AutoML:
    """Return the settings of a search with changes.

    Raises:
        SpecError: changes that are wrong by themselves, or of what must stay as it was.
    """
    # A search that began before there were starting points goes on without any.
    return change_settings({"automl_starting_points": [], **history.settings}, changes)


def _go_on(store: JobStore, record: JobRecord, changes: Mapping[str, Any]) -> RunResult:
    """Go on with a search that this process holds."""
    taken = waits_for_this_process(record)
    history = load_history(record)
    if lacks_evaluation(record, history):
        if changes:
            named = ", ".join(sorted(changes))
            _log.warning("The search is complete; only its winner is measured yet, and %s changes nothing.", named)
        return _measure_late(store, record, history)
    if record.status not in BROKEN_OFF and not taken:
        raise JobError(
            f"Search {record.job_id} is {record.status}: there is nothing to resume.",
            problems=[Problem("job_id", record.job_id, "a search that is ERROR, CANCELED or UNKNOWN")],
            next_step=f"python -m tao_skill automl status {record.job_id}"
            + (
                "; to search on, begin another with its best values first: --automl automl_starting_points=[VALUES]"
                if record.status == JobStatus.COMPLETE
                else ""
            ),
        )
    skill = skill_of(record)
    flat = flatten(record.spec)
    explicit = {key: flat.get(key) for key, source in record.provenance.items() if source in _GIVEN}
    settings = settings_to_go_on_with(history, changes)
    history.settings = asdict(settings)
    prepared = prepare_search(skill, skill.schema("train"), record.spec, explicit, settings)
    prepared.check_packages()
    inputs = find_inputs(record.spec, skill.info.actions[record.action].inputs)
    spec, inputs = with_links(record.spec, inputs, record)
    check_places(inputs, store)
    refuse_unshared(settings, store, inputs)
    if settings.automl_platform == "local":
        prepared = prepared.on(stage_inputs(spec, inputs))
    record = store.update(
        record.job_id, status=JobStatus.PENDING, reason="resumed", pid=None, process_start_time=None,
        check=refuse_canceled if taken else None, **this_process(),
    )  # fmt: skip
    with _told(store, record):
        return _run(prepared, store, record, history, history.data_root)


@contextmanager
def _told(store: JobStore, record: JobRecord) -> Iterator[None]:
    """Write down why a search did not begin, where its record doesn't tell an end by then."""
    try:
        yield
    except BaseException as error:
        if not store.load(record.job_id).ended:
            give_up(store, record.job_id, error)
        raise


def summary(history: SearchHistory, record: JobRecord, elsewhere: str | None = None) -> dict[str, Any]:
    """Return in a few numbers what a search came to so far; ``elsewhere`` is the URI of its folder on a server."""
    winner = None if history.winner is None else history.trials[history.winner]
    best = None if winner is None else winner.best_value
    folder = action_folder(record) if elsewhere is None else f"{elsewhere}/{record.action}"
    return {
        "state": history.state,
        "end_reason": history.end_reason,
        "trials": len(history.trials),
        "algorithm": history.algorithm,
        "metric": history.metric,
        "baseline": history.baseline,
        "best": best,
        "gain": history.gain(best),
        "best_trial": history.winner,
        "best_child": record.best_child,
        "values": {} if winner is None else winner.values,
        "final_evaluation": history.final_evaluation,
        "disk_bound": history.disk_bound,
        "history": f"{folder}/{HISTORY}",
        "report": f"{folder}/{REPORT}",
        "page": f"{folder}/{PAGE}",
        "best_rec": f"{folder}/{BEST_REC}",
    }


def _run(
    prepared: PreparedSearch, store: JobStore, record: JobRecord, history: SearchHistory, data_root: str | None
) -> RunResult:
    """Search, and measure the winner on the data below ``data_root``."""
    excludes = prepared.skill.info.actions[record.action].upload_excludes
    _save_first(prepared, record, history)
    with publishing(store, record, excludes), publishing_trials(store, history, excludes):
        ended = run_search(prepared, store, record, history)
        if lacks_evaluation(ended, history):
            _measure(prepared.skill, store, ended, history, data_root)
    return _result(store, record.job_id, history)


def _measure(skill: Skill, store: JobStore, record: JobRecord, history: SearchHistory, data_root: str | None) -> None:
    """Measure the winner, and write that down."""
    history.final_evaluation = evaluate_winner(skill, store, record, data_root)
    save_history(action_folder(record), history)
    save_documents(action_folder(record), history, store)


def _measure_late(store: JobStore, record: JobRecord, history: SearchHistory) -> RunResult:
    """Measure the winner of a search that was killed when that was all that it lacked."""
    skill = skill_of(record)
    with publishing(store, record, skill.info.actions[record.action].upload_excludes):
        _measure(skill, store, record, history, history.data_root)
    return _result(store, record.job_id, history)


def _result(store: JobStore, job_id: str, history: SearchHistory) -> RunResult:
    record = store.load(job_id)
    result = result_of(record, summary(history, record))
    told = [*result.warnings, *trials_left_behind(store, history), *history.notes]
    return result.model_copy(update={"warnings": told})


def _save_first(prepared: PreparedSearch, record: JobRecord, history: SearchHistory) -> None:
    """Write the history before the search begins: from then on it can be resumed."""
    folder = action_folder(record)
    save_history(folder, history)
    save_spec(folder, prepared.form.base)
