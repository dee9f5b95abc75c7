"""Go on with a training that broke off, from its own newest checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from tao_skill.bank.skill import Skill
from tao_skill.config.keys import merge, nest
from tao_skill.errors import JobError, Problem
from tao_skill.jobs.identity import this_process
from tao_skill.jobs.process import Screen
from tao_skill.jobs.reconcile import action_folder, waits_for_this_process
from tao_skill.jobs.record import BROKEN_OFF, JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.check_places import check_places
from tao_skill.run.dispatch import AUTOML
from tao_skill.run.inference_functions import Facts, Resolution, resolve_fields
from tao_skill.run.launch_search import resume_search, settings_to_go_on_with
from tao_skill.run.own_folder import refuse_shared_folder
from tao_skill.run.parent_job import job_files
from tao_skill.run.program import CommandFor
from tao_skill.run.record import refuse_canceled, run_recorded
from tao_skill.run.remote_jobs import refuse_foreign
from tao_skill.run.result import RunResult, result_of
from tao_skill.run.search_history import is_search, load_history, search_of
from tao_skill.run.signed_links import with_links
from tao_skill.run.skill_of_job import skill_of
from tao_skill.run.stage import find_inputs, stage_inputs

__all__ = ["check_resumable", "resume_job"]

_log = logging.getLogger(__name__)


def resume_job(
    store: JobStore,
    job_id: str,
    changes: Mapping[str, Any] | None = None,
    *,
    echo: Screen | None = None,
    command_for: CommandFor | None = None,
) -> RunResult:
    """Continue a job under the same id with the same spec; one that left no checkpoint begins anew.

    ``changes`` are settings that a search goes on with.

    Raises:
        JobError: no such job, or one that is not a training that broke off.
    """
    record = store.reconcile(store.load(job_id))
    taken = waits_for_this_process(record)
    if is_search(record):
        return resume_search(store, record.job_id, changes)
    refuse_foreign(store, record, "resumed")
    check_resumable(store, record)
    skill = skill_of(record)
    found = _newest_checkpoint(skill, record)
    spec = merge(record.spec, nest({found.key: found.value})) if found.value is not None else record.spec
    reason = f"resumed: {found.reason}"
    _log.info("job %s: %s", record.job_id, reason)
    inputs = find_inputs(spec, skill.info.actions[record.action].inputs)
    spec, inputs = with_links(spec, inputs, record)
    check_places(inputs, store)
    staged = stage_inputs(spec, inputs)
    refuse_shared_folder(store, record.job_id, action_folder(record))
    # PENDING with this process's name on it: a second `jobs resume` finds the job taken.
    record = store.update(
        record.job_id, status=JobStatus.PENDING, reason=reason,
        check=refuse_canceled if taken else _check_broken_off, pid=None, process_start_time=None, **this_process(),
    )  # fmt: skip
    ended = run_recorded(store, record, staged, skill=skill, reason=reason, command_for=command_for, echo=echo)
    return result_of(ended)


def _check_broken_off(record: JobRecord) -> None:
    if record.status not in BROKEN_OFF and not waits_for_this_process(record):
        done = record.status == JobStatus.COMPLETE
        worker = "" if done else f", process {record.pid or record.runner_pid} on {record.host} works on it"
        raise JobError(
            f"Job {record.job_id} is {record.status}: there is nothing to resume{worker}.",
            problems=[Problem("job_id", record.job_id, "a training that is ERROR, CANCELED or UNKNOWN")],
            next_step=f"python -m tao_skill run evaluate --parent-job-id {record.job_id}"
            if done
            else f"wait for it, or end it: python -m tao_skill jobs cancel {record.job_id}",
        )


def _trials_end(search: JobRecord, record: JobRecord) -> JobError:
    """Return why a trial can't be resumed: it would train with all epochs in a folder that its search owns."""
    step = f"automl {'resume' if search.ended else 'status'} {search.job_id}"
    if search.status == JobStatus.COMPLETE:
        step = f"run train --automl-policy off --parent-job-id {record.job_id} --force-parent"
    return JobError(
        f"Job {record.job_id} is a trial of search {search.job_id}, which alone goes on with it.",
        problems=[Problem("job_id", record.job_id, f"the job of its search, {search.job_id}, or no trial")],
        next_step=f"python -m tao_skill {step}",
    )


def check_resumable(store: JobStore, record: JobRecord, changes: Mapping[str, Any] | None = None) -> None:
    """Look whether a job can be gone on with, a search with ``changes`` of its settings.

    Raises:
        JobError: it is no training that broke off, or a trial, with which its search goes on; changes of a training.
        SpecError: changes that are wrong, or of what must stay as it was.
    """
    if record.action != "train":
        raise JobError(
            f"Job {record.job_id} is a job of {record.action}; only training can be resumed.",
            problems=[Problem("job_id", record.job_id, "a job of train")],
            next_step=f"python -m tao_skill run {record.action}",
        )
    _check_broken_off(record)
    if record.dispatch == AUTOML and not is_search(record):
        raise JobError(
            f"Job {record.job_id} was to be a search, but broke off before that began: there is nothing to go on with.",
            problems=[Problem("job_id", record.job_id, "a search that began, or a training")],
            next_step="run it again as a new job: with another idempotency key, where it has one",
        )
    search = search_of(store, record)
    if search is not None:
        raise _trials_end(search, record)
    if changes:
        settings_to_go_on_with(load_history(record), changes)


def _newest_checkpoint(skill: Skill, record: JobRecord) -> Resolution:
    """Return what the skill's `resume_model` row answers for this job."""
    rows = [row for row in skill.inference_rows(record.action) if row.function == "resume_model"]
    facts = Facts(action=record.action, results_dir=record.results_dir, own=job_files(record))
    for resolution in resolve_fields(rows, facts):
        return resolution
    raise JobError(f"Skill {skill.name} has no resume_model for {record.action}, so its jobs can't be resumed.")
