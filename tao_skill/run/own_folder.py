"""Keep the folder that an action writes into to one job at a time."""

from __future__ import annotations

from pathlib import Path

from tao_skill.errors import JobError, Problem
from tao_skill.jobs.reconcile import action_folder
from tao_skill.jobs.store import JobStore

__all__ = ["refuse_shared_folder"]


def refuse_shared_folder(store: JobStore, job_id: str | None, folder: Path) -> None:
    """Look whether another job works in the folder that a job is told to write into; its own needs no look.

    Only jobs of this results root are known. ``job_id`` None is a job that is planned.

    Raises:
        JobError: one does.
    """
    if folder.is_relative_to(store.folder(job_id) if job_id else store.root):
        return
    here = JobStore(store.root)  # those that work elsewhere work in another folder
    for record in map(here.judge, here.list()):
        if record.job_id != job_id and not record.ended and action_folder(record).resolve() == folder.resolve():
            raise JobError(
                f"Job {record.job_id} works in {folder}.",
                problems=[Problem("results_dir", str(folder), "a folder that no other job writes into")],
                next_step=f"wait for it, or end it: python -m tao_skill jobs cancel {record.job_id}",
            )
