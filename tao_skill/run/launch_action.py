"""Make a run ready, and start one action for it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from tao_skill.bank.skill import Skill
from tao_skill.config.foreign import is_own
from tao_skill.jobs.identity import this_process
from tao_skill.jobs.process import Screen
from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import JobStore
from tao_skill.run.check_places import check_places
from tao_skill.run.look_at_data import check_staged_data
from tao_skill.run.make_plan import make_plan, read_form
from tao_skill.run.plan import RunPlan
from tao_skill.run.program import CommandFor
from tao_skill.run.record import run_recorded
from tao_skill.run.redaction import redacted
from tao_skill.run.request import RunRequest
from tao_skill.run.result import RunResult, result_of
from tao_skill.run.results_root import open_store
from tao_skill.run.skill_of_job import folder_outside, skill_asked
from tao_skill.run.stage import stage_inputs

__all__ = ["ReadyRun", "launch_action", "make_ready", "record_of"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadyRun:
    """A run that is planned and recorded; in ``spec`` every input is a local path."""

    store: JobStore
    skill: Skill
    plan: RunPlan
    spec: dict[str, Any]
    record: JobRecord


def make_ready(request: RunRequest, job_id: str | None = None) -> ReadyRun:
    """Plan a run, bring its inputs here and look at them, and write its record.

    ``job_id`` names a job whose record is written already and that this process takes over.

    Raises:
        TaoSkillError: the run can't start.
    """
    store = open_store(request.results_root)
    skill = skill_asked(request, store)
    plan = make_plan(request, skill, store, job_id or store.new_id())
    for note in [*plan.warnings, *plan.preflight.notes]:
        _log.warning("%s", redacted(note))
    check_places(plan.inputs, store)
    spec = stage_inputs(plan.spec, plan.inputs)
    if is_own(plan.action, read_form(skill, plan.action).schema):
        check_staged_data(plan.action, spec, plan.inputs)
    record = store.create(record_of(plan)) if job_id is None else store.load(job_id)
    return ReadyRun(store, skill, plan, spec, record)


def launch_action(ready: ReadyRun, *, echo: Screen | None = None, command_for: CommandFor | None = None) -> RunResult:
    """Start the action and return how it ended.

    ``echo`` gets a copy of the action's log; ``command_for`` gives the command line that runs an action.
    """
    plan, skill = ready.plan, ready.skill
    _log.info("job %s: %s starts, results in %s", ready.record.job_id, plan.action, plan.results_dir)
    ended = run_recorded(
        ready.store, ready.record, ready.spec, skill=skill, reason="the runner started it", command_for=command_for,
        echo=echo,
    )  # fmt: skip
    return result_of(ended)


def record_of(plan: RunPlan) -> JobRecord:
    """Return the first record of a job: this process works on it."""
    assert plan.job_id is not None
    return JobRecord(
        job_id=plan.job_id,
        skill=plan.skill,
        skill_dir=folder_outside(plan.skill, plan.skill_dir),
        action=plan.action,
        dispatch=plan.dispatch,
        parent_job=plan.parent_job,
        results_dir=plan.results_dir,
        spec=redacted(plan.spec),
        provenance=dict(plan.provenance),
        warnings=redacted(plan.warnings),
        **this_process(),
    )
