"""A run, step by step: the story in one place."""

from __future__ import annotations

import logging

from tao_skill.bank.skill import find_skill
from tao_skill.jobs.identity import this_process
from tao_skill.jobs.process import Screen
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.run.check_places import check_places
from tao_skill.run.dispatch import AUTOML
from tao_skill.run.launch_search import launch_search
from tao_skill.run.look_at_data import check_staged_data
from tao_skill.run.make_plan import make_plan
from tao_skill.run.plan import RunPlan
from tao_skill.run.program import command_of
from tao_skill.run.record import CommandFor, run_recorded
from tao_skill.run.redaction import redacted
from tao_skill.run.request import RunRequest
from tao_skill.run.result import RunResult, result_of
from tao_skill.run.results_root import open_store
from tao_skill.run.stage import stage_inputs

__all__ = ["check_launchable", "record_of", "run"]

_log = logging.getLogger(__name__)


def run(
    request: RunRequest,
    *,
    job_id: str | None = None,
    echo: Screen | None = None,
    command_for: CommandFor | None = None,
) -> RunResult:
    """Plan, bring the inputs here, start the action, and return how it ended.

    ``job_id`` names a job whose record is written already and that this process takes over. ``echo`` gets a copy of
    the action's log; ``command_for`` gives the command line that runs an action.

    Raises:
        TaoSkillError: the run could not start; once it has started, the result carries the error.
    """
    store = open_store(request.results_root)
    skill = find_skill(request.skill)
    plan = make_plan(request, skill, store, job_id or store.new_id())
    check_launchable(plan)
    for note in [*plan.warnings, *plan.preflight.notes]:
        _log.warning("%s", redacted(note))
    check_places(plan.inputs, store)
    spec = stage_inputs(plan.spec, plan.inputs)
    check_staged_data(plan.action, spec, plan.inputs)
    record = store.create(record_of(plan)) if job_id is None else store.load(job_id)
    if record.status == JobStatus.CANCELED:
        return result_of(record)
    if plan.dispatch == AUTOML:
        return launch_search(request, skill, plan, spec, store=store, record=record)
    _log.info("job %s: %s starts, results in %s", record.job_id, plan.action, plan.results_dir)
    ended = run_recorded(
        store, record, spec, reason="the runner started it", command_for=command_for or command_of(skill), echo=echo,
        upload_excludes=skill.info.actions[plan.action].upload_excludes,
    )  # fmt: skip
    return result_of(ended)


def check_launchable(plan: RunPlan) -> None:
    """Refuse what can be planned, but not run.

    Raises:
        NotAvailableError: this installation can't run it.
    """


def record_of(plan: RunPlan) -> JobRecord:
    """Return the first record of a job: this process works on it."""
    assert plan.job_id is not None
    return JobRecord(
        job_id=plan.job_id,
        skill=plan.skill,
        action=plan.action,
        parent_job=plan.parent_job,
        results_dir=plan.results_dir,
        spec=redacted(plan.spec),
        provenance=dict(plan.provenance),
        warnings=redacted(plan.warnings),
        **this_process(),
    )
