"""The checkpoints that trials of a search begin from, where they go on from another trial's."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from tao_skill.automl.history import Trial
from tao_skill.errors import CheckpointError, Problem
from tao_skill.jobs.reconcile import action_folder
from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import JobStore
from tao_skill.run.checkpoint_choice import Candidate, select
from tao_skill.run.inference_functions import Files
from tao_skill.run.trial_spec import ACTION, goes_on_from

__all__ = ["TrialSources", "trial_job_id"]

# Hidden, so that it stays on this machine: its files are gone before anybody could want them.
FOLDER = ".starts"
# While one is copied, the trial that made it may replace it.
_TRIES = 5


def trial_job_id(search_id: str, number: int) -> str:
    """Return the id of a trial's job."""
    return f"{search_id}-t{number:03d}"


class TrialSources:
    """Finds them, and copies those of trials that run: training removes old ones when it writes new ones."""

    def __init__(self, store: JobStore, search: JobRecord) -> None:
        self._store, self._search_id = store, search.job_id
        self._folder = action_folder(search) / FOLDER

    def can_be_copied(self, number: int) -> bool:
        """Say whether a trial has a checkpoint that is surely whole, though it runs: one that its program recorded."""
        try:
            newest = self._newest(self._files(number))
        except CheckpointError:
            return False
        return newest is not None and newest.recorded

    def are_there(self, trial: Trial) -> bool:
        """Say whether a trial that ended left a checkpoint to go on from."""
        try:
            return bool(self._files(trial.number).candidates)
        except CheckpointError:
            return False

    def files(self, number: int) -> Files:
        """Return the checkpoints of a trial that ended."""
        return self._files(number)

    def copied(self, number: int, trial: Trial) -> Files:
        """Return a copy of the newest checkpoint of trial ``number``, which runs, for another ``trial``.

        Raises:
            CheckpointError: there is none, or it can't be copied.
        """
        problem: OSError | None = None
        for _ in range(_TRIES):
            files = self._files(number)
            newest = self._newest(files)
            if newest is None:
                break
            copy = self._place(trial) / Path(newest.path).name
            try:
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(files.place(newest.path), copy)
            except OSError as error:
                problem = error
                continue
            return replace(files, folder=copy.parent, candidates=[replace(newest, path=copy.name)])
        raise CheckpointError(
            f"Trial {trial.number} can't begin from the checkpoint of trial {number}.",
            problems=[Problem("checkpoint", str(problem or "none"), "a file that can be copied")],
        )

    def drop(self, trial: Trial) -> None:
        """Remove the copy that a trial began from."""
        shutil.rmtree(self._place(trial), ignore_errors=True)

    def close(self) -> None:
        """Remove all copies."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _files(self, number: int) -> Files:
        job_id = trial_job_id(self._search_id, number)
        return goes_on_from(job_id, self._store.folder(job_id) / ACTION)

    def _newest(self, files: Files) -> Candidate | None:
        if not files.candidates:
            return None
        path = select(files.candidates, "torch", "latest").path
        return next(one for one in files.candidates if one.path == path)

    def _place(self, trial: Trial) -> Path:
        return self._folder / f"{trial.number:03d}"
