"""Bring what the trials of a search leave to a remote results root: while it runs, and at its end, however it ends."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.errors import TaoSkillError
from tao_skill.jobs.store import RECORD_FILE, JobStore
from tao_skill.run.checkpoint_files import SUFFIXES
from tao_skill.run.publish import finish, folder_upload, keeping_up, leave, synced
from tao_skill.run.remote_jobs import MirroredJobStore
from tao_skill.storage.objects import UnreachableError
from tao_skill.storage.upload import Uploaded

__all__ = ["publishing_trials", "trials_left_behind"]

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
    try:
        with keeping_up(lambda: _sync_all(store, history, excludes), "trials"):
            yield
    finally:
        unreachable: UnreachableError | None = None
        for trial in _recorded(store, history):
            try:
                upload = folder_upload(store, store.load(trial.job_id), excludes)
                if unreachable is None:
                    unreachable = finish(store, trial.job_id, upload, list(excludes))
                else:
                    leave(store, trial.job_id, upload, list(excludes), unreachable)
            except TaoSkillError as wrong:  # its record can't be read; the others are sent
                _log.warning("Files of trial %d are not sent: %s", trial.number, wrong.message)


def trials_left_behind(store: JobStore, history: SearchHistory) -> list[str]:
    """Return what is to be said of trials whose files are not all on the server, if there are any."""
    left = [one.job_id for one in _recorded(store, history) if _lacks_files(store, one.job_id)]
    if not left:
        return []
    again = f"python -m tao_skill jobs upload JOB --results-root {store.address}"
    count = "a trial" if len(left) == 1 else f"{len(left)} trials"
    return [
        f"Files of {count} are not at {store.address} yet. Finish each with: {again}, where JOB is {', '.join(left)}"
    ]


def _lacks_files(store: JobStore, job_id: str) -> bool:
    try:
        upload = store.load(job_id).upload
    except TaoSkillError:  # its record can't be read
        return True
    return upload is not None and upload.state != "complete"


def _sync_all(store: MirroredJobStore, history: SearchHistory, excludes: Sequence[str]) -> str:
    """Upload what is new of all trials, and return why that first failed, if it did."""

    def is_best(trial: Trial) -> bool:
        return trial.ended and trial.number == history.winner

    error = ""
    # The best one last: no other has checkpoints to send, which may take a server too long.
    for trial in sorted(_recorded(store, history), key=is_best):
        outcome = _sync(store, trial.job_id, excludes if is_best(trial) else [*excludes, *_CHECKPOINTS])
        error = error or outcome.error
        if outcome.unreachable:
            break
    return error


def _sync(store: MirroredJobStore, job_id: str, excludes: Sequence[str]) -> Uploaded:
    try:
        record = store.load(job_id)
    except TaoSkillError as wrong:
        return Uploaded(error=wrong.message)
    return synced(folder_upload(store, record, excludes))


def _recorded(store: JobStore, history: SearchHistory) -> list[Trial]:
    """Return the trials whose jobs were begun; more may begin meanwhile."""
    return [one for one in list(history.trials) if one.job_id and (store.folder(one.job_id) / RECORD_FILE).exists()]
