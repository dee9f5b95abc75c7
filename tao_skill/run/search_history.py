"""What was written down of a search, read again: from its folder, or from the server where it worked elsewhere."""

from __future__ import annotations

from pydantic import ValidationError

from tao_skill.automl.history import HISTORY_FILE, SearchHistory
from tao_skill.errors import JobError, Problem
from tao_skill.jobs.reconcile import action_folder
from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import JobStore
from tao_skill.run.remote_jobs import remote_folder

__all__ = ["is_search", "load_history", "search_of"]


def is_search(record: JobRecord, elsewhere: str | None = None) -> bool:
    """Say whether a job is a search over many trainings; ``elsewhere`` is its folder's URI (`remote_folder`)."""
    return _content(record, elsewhere) is not None


def load_history(record: JobRecord, elsewhere: str | None = None) -> SearchHistory:
    """Return the history of a search; ``elsewhere`` is the URI of its folder where it worked on another machine.

    Raises:
        JobError: the job is no search, or its history can't be read.
    """
    try:
        content = _content(record, elsewhere)
        if content is not None:
            return SearchHistory.model_validate_json(content)
    except (OSError, ValidationError) as error:
        raise JobError(f"The history of search {record.job_id} can't be read: {str(error).splitlines()[0]}") from error
    raise JobError(
        f"Job {record.job_id} is no AutoML search.",
        problems=[Problem("job_id", record.job_id, "the job of a search")],
        next_step="python -m tao_skill jobs list",
    )


def search_of(store: JobStore, record: JobRecord) -> JobRecord | None:
    """Return the search that a job is a trial of; None where it is none."""
    if record.parent_job is None:
        return None
    try:
        parent = store.load(record.parent_job)
        trials = load_history(parent, remote_folder(store, parent.job_id)).trials
    except JobError:
        return None
    return parent if any(trial.job_id == record.job_id for trial in trials) else None


def _content(record: JobRecord, elsewhere: str | None) -> bytes | None:
    if elsewhere is not None:
        from tao_skill.storage.small import read_bytes

        return read_bytes(f"{elsewhere}/{record.action}/{HISTORY_FILE}")
    path = action_folder(record) / HISTORY_FILE
    return path.read_bytes() if path.is_file() else None
