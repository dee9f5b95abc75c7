"""End a job that runs in another process."""

from __future__ import annotations

import time

from tao_skill.errors import JobError, Problem
from tao_skill.jobs.identity import is_alive
from tao_skill.jobs.process import GRACE_SECONDS, stop_group
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.detach import stop_runner
from tao_skill.run.remote_jobs import refuse_foreign

__all__ = ["cancel_job"]

# Trials get so long to come to a checkpoint, before they are killed and the search writes its report.
_TRIAL_SECONDS = 30.0


def cancel_job(store: JobStore, job_id: str, grace: float = GRACE_SECONDS) -> JobRecord:
    """Mark a job as canceled and end its processes: asked to first, killed after ``grace`` seconds.

    A search ends by itself, with its trials; it is waited for, but not killed.

    Raises:
        JobError: no such job, or one that has ended already.
    """
    record = store.reconcile(store.load(job_id))
    refuse_foreign(store, record, "canceled")
    if record.ended:
        raise JobError(
            f"Job {record.job_id} is {record.status} already.",
            problems=[Problem("job_id", record.job_id, "a job that is PENDING or RUNNING")],
            next_step=f"python -m tao_skill jobs show {record.job_id}",
        )
    # The mark comes first, so that the runner that waits for the action doesn't take its end for a crash.
    marked = store.update(record.job_id, status=JobStatus.CANCELED, reason="canceled by `jobs cancel`")
    if marked.pid is not None and marked.pid == marked.runner_pid:
        # A search: its runner reads the mark, and stops its trials at their last checkpoints.
        _wait_for_end(marked, grace + _TRIAL_SECONDS)
    elif marked.pid is not None:
        stop_group(marked.pid, marked.process_start_time, grace)
    else:
        stop_runner(store, record.job_id, grace)
    return store.load(record.job_id)


def _wait_for_end(record: JobRecord, seconds: float) -> None:
    end = time.monotonic() + seconds
    while is_alive(record.pid, record.process_start_time) and time.monotonic() < end:
        time.sleep(0.1)
