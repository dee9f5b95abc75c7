"""End a job that runs in another process."""

from __future__ import annotations

import platform
import time

from tao_skill.errors import JobError, Problem
from tao_skill.jobs.identity import is_alive
from tao_skill.jobs.process import GRACE_SECONDS, may_stop, stop_group
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.detach import stop_runner
from tao_skill.run.remote_jobs import refuse_foreign

__all__ = ["cancel_job"]

# Trials get so long to come to a checkpoint, before they are killed and the search writes its report.
_TRIAL_SECONDS = 30.0


def cancel_job(
    store: JobStore, job_id: str, grace: float = GRACE_SECONDS, *, host_gone: bool = False, by: str = "jobs cancel"
) -> JobRecord:
    """Mark a job as canceled ``by`` a command and end its processes: asked to first, killed after ``grace`` seconds.

    A search ends by itself, with its trials; it is waited for, but not killed. ``host_gone`` says that the
    machine that a job worked on is no more: then there is nothing to end.

    Raises:
        JobError: no such job, one that has ended already, or one that works on another machine.
    """
    record = store.reconcile(store.load(job_id))
    refuse_foreign(store, record, "canceled")
    if record.ended:
        raise JobError(
            f"Job {record.job_id} is {record.status} already.",
            problems=[Problem("job_id", record.job_id, "a job that is PENDING or RUNNING")],
            next_step=f"python -m tao_skill jobs show {record.job_id}",
        )
    if _needs_its_machine(record) and not host_gone:
        raise _elsewhere(record)
    # The runner of a search reads the mark, whoever wrote it; elsewhere, processes have to be signalled.
    own = None if record.pid == record.runner_pid or host_gone else record.pid
    if own is not None and not may_stop(own, record.process_start_time):
        raise JobError(
            f"Job {record.job_id} belongs to another user, whose processes you may not end.",
            problems=[Problem("job_id", record.job_id, "a job of yours, or the rights of who started it")],
            next_step=f"as that user: python -m tao_skill jobs cancel {record.job_id}",
        )
    # The mark comes first, so that the runner that waits for the action doesn't take its end for a crash.
    marked = store.update(record.job_id, status=JobStatus.CANCELED, reason=f"canceled by `{by}`")
    if marked.pid is not None and marked.pid == marked.runner_pid:
        # A search: its runner reads the mark, and stops its trials at their last checkpoints.
        _wait_for_end(marked, grace + _TRIAL_SECONDS)
    elif marked.pid is not None:
        stop_group(marked.pid, marked.process_start_time, grace)
    else:
        stop_runner(store, record.job_id, grace)
    return store.load(record.job_id)


def _needs_its_machine(record: JobRecord) -> bool:
    """Say whether a mark is not enough: who waits to begin reads it, and so does the runner of a search."""
    is_marked_only = record.status == JobStatus.PENDING or record.pid == record.runner_pid
    return record.host not in (None, platform.node()) and not is_marked_only


def _elsewhere(record: JobRecord) -> JobError:
    return JobError(
        f"Job {record.job_id} works on {record.host}, and its processes can be ended only there.",
        problems=[Problem("job_id", record.job_id, f"a job of this machine, {platform.node()}")],
        next_step=f"on {record.host}: python -m tao_skill jobs cancel {record.job_id}; or here with --host-gone, if "
        "that machine is gone for good",
    )


def _wait_for_end(record: JobRecord, seconds: float) -> None:
    end = time.monotonic() + seconds
    while is_alive(record.pid, record.process_start_time) and time.monotonic() < end:
        time.sleep(0.1)
