"""What a status says of a job, and the call that follows it."""

from __future__ import annotations

import json
from typing import Any

from tao_skill.agent.answers import Call, Failure, JobFact, Progress
from tao_skill.agent.failure import recorded_failure
from tao_skill.agent.log_piece import cut
from tao_skill.agent.search_progress import search_progress
from tao_skill.jobs.files import read_tail
from tao_skill.jobs.reconcile import STATUS_FILE, action_folder
from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import JobStore
from tao_skill.run.remote_jobs import remote_folder
from tao_skill.run.search_history import search_of

__all__ = ["job_fact", "job_failure", "progress_call"]

_STATUS_LINES = 30
# Seconds; the answer comes a little later, and many clients give up on a call after 60 s.
_WAIT = 30


def job_fact(store: JobStore, record: JobRecord) -> JobFact:
    """Return what a status says of a job; of one that worked on another machine, what its record says."""
    elsewhere = remote_folder(store, record.job_id)
    return JobFact(
        job_id=record.job_id,
        action=record.action,
        status=str(record.status),
        ended=record.ended,
        created_at=record.created_at,
        finished_at=record.finished_at,
        parent_job=record.parent_job,
        progress=_progress(record) if elsewhere is None else Progress(metrics=record.metrics),
        error=job_failure(store, record),
    )


def job_failure(store: JobStore, record: JobRecord) -> Failure | None:
    """Return why a job failed and what to do; None where it didn't fail."""
    return None if record.error is None else recorded_failure(record.error, record, search_of(store, record))


def progress_call(record: JobRecord) -> Call | None:
    """Return the call that follows a job: its status while it runs, then its result."""
    if not record.ended:
        arguments = {"job_id": record.job_id, "wait_seconds": _WAIT}
        return Call(tool="status", arguments=arguments, why="wait for it; ask again until it has ended")
    return Call(tool="result", arguments={"job_id": record.job_id}, why="its metrics, files or error")


def _progress(record: JobRecord) -> Progress:
    """Read how far an action is from its last status lines."""
    progress = Progress(metrics=record.metrics)
    for line in read_tail(action_folder(record) / STATUS_FILE, _STATUS_LINES):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if not isinstance(said, dict):
            continue
        epoch, most = said.get("epoch"), said.get("max_epoch")
        progress.epoch = epoch if isinstance(epoch, int) else progress.epoch
        progress.max_epoch = most if isinstance(most, int) else progress.max_epoch
        progress.message = cut(str(said.get("message", progress.message)))
        if not record.metrics and isinstance(said.get("kpi"), dict):
            progress.metrics |= {name: value for name, value in said["kpi"].items() if _is_number(value)}
    progress.search = search_progress(record)
    return progress


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
