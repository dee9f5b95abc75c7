"""Hold a search for one process: whoever works on it reads and writes its files only while it has the lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tao_skill.errors import JobError, Problem
from tao_skill.jobs.reconcile import action_folder
from tao_skill.jobs.record import JobRecord

__all__ = ["own_search"]

_LOCK = ".search.lock"


@contextmanager
def own_search(record: JobRecord) -> Iterator[None]:
    """Hold a search for this process alone, from before its files are read until all of it is written down.

    Raises:
        JobError: another process has it.
    """
    from filelock import FileLock, Timeout

    folder = action_folder(record)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / _LOCK, timeout=0):
            yield
    except Timeout as error:
        raise _taken(record) from error


def _taken(record: JobRecord) -> JobError:
    next_step = f"wait for it, or end it: python -m tao_skill automl stop {record.job_id}"
    if record.ended:  # by `automl stop`, which does not wait for ever
        next_step = "try again in a moment: its trials still end, each at its last checkpoint"
    return JobError(
        f"Another process works on search {record.job_id}, which is {record.status}.",
        problems=[Problem("job_id", record.job_id, "a search that nobody works on")],
        next_step=next_step,
    )
