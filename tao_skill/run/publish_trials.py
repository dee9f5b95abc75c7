"""Bring what the trials of a search leave to a remote results root: while it runs, and at its end, however it ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.errors import TaoSkillError
from tao_skill.jobs.store import RECORD_FILE, JobStore
from tao_skill.run.checkpoint_files import SUFFIXES
from tao_skill.run.publish import folder_upload, keeping_up, publishing, sync_error
from tao_skill.run.remote_jobs import MirroredJobStore

__all__ = ["publishing_trials"]

_CHECKPOINTS = [f"*{suffix}" for suffix in sorted(SUFFIXES)]


@contextmanager
def publishing_trials(store: JobStore, history: SearchHistory, excludes: Sequence[str]) -> Iterator[None]:
    """Upload the trials' files from time to time while the block runs, and all that is left of them after it.

    Until then no checkpoints go but those of the best trial that has ended: others are likely to be deleted here, and
    nothing is deleted on the server. A machine that is lost leaves there what was found so far.
    """
    if not isinstance(store, MirroredJobStore):
        yield
        return
    try:
        with keeping_up(lambda: _sync_all(store, history, excludes), "trials"):
            yield
    finally:
        for trial in _recorded(store, history):
            with publishing(store, store.load(trial.job_id), excludes):
                continue


def _sync_all(store: MirroredJobStore, history: SearchHistory, excludes: Sequence[str]) -> str:
    """Upload what is new of all trials, and return why that first failed, if it did."""
    error = ""
    for trial in _recorded(store, history):
        is_best = trial.ended and trial.number == history.winner
        error = error or _sync(store, trial.job_id, excludes if is_best else [*excludes, *_CHECKPOINTS])
    return error


def _sync(store: MirroredJobStore, job_id: str, excludes: Sequence[str]) -> str:
    try:
        record = store.load(job_id)
    except TaoSkillError as wrong:
        return wrong.message
    return sync_error(folder_upload(store, record, excludes))


def _recorded(store: JobStore, history: SearchHistory) -> list[Trial]:
    """Return the trials whose jobs were begun; more may begin meanwhile."""
    return [one for one in list(history.trials) if one.job_id and (store.folder(one.job_id) / RECORD_FILE).exists()]
