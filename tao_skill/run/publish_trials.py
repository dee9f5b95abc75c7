"""Bring what the trials of a search leave to a remote results root: while it runs, and at its end, however it ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.errors import TaoSkillError
from tao_skill.jobs.store import RECORD_FILE, JobStore
from tao_skill.run.checkpoint_files import SUFFIXES
from tao_skill.run.publish import folder_upload, publishing, upload_interval
from tao_skill.run.remote_jobs import MirroredJobStore

__all__ = ["publishing_trials"]

_log = logging.getLogger(__name__)
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
    stop = threading.Event()
    thread = threading.Thread(target=_keep_up, args=(store, history, list(excludes), stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        for trial in _recorded(store, history):
            with publishing(store, store.load(trial.job_id), excludes):
                continue


def _keep_up(store: MirroredJobStore, history: SearchHistory, excludes: list[str], stop: threading.Event) -> None:
    told = ""
    while not stop.wait(upload_interval()):
        error = ""
        for trial in _recorded(store, history):
            is_best = trial.ended and trial.number == history.winner
            error = error or _sync(store, trial.job_id, excludes if is_best else [*excludes, *_CHECKPOINTS])
        if error and error != told:
            _log.warning("Uploading trials fails for now and will be tried again: %s", error)
        told = error


def _sync(store: MirroredJobStore, job_id: str, excludes: Sequence[str]) -> str:
    """Upload what is new of a trial, and return why that failed, if it did."""
    try:
        return folder_upload(store, store.load(job_id), excludes).sync().error
    except TaoSkillError as wrong:
        return wrong.message


def _recorded(store: JobStore, history: SearchHistory) -> list[Trial]:
    """Return the trials whose jobs were begun; more may begin meanwhile."""
    return [one for one in list(history.trials) if one.job_id and (store.folder(one.job_id) / RECORD_FILE).exists()]
