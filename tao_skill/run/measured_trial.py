"""Train a trial in a scratch folder for as long as it takes to tell what a whole one costs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tao_skill.automl.history import Trial
from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import JobStore
from tao_skill.run.prepare_search import PreparedSearch
from tao_skill.run.slots import LocalSlots
from tao_skill.run.trial_reports import epoch_cost
from tao_skill.run.trial_sources import trial_job_id

__all__ = ["measure_trial"]

_ID = "review"


def measure_trial(on: PreparedSearch, skill: str, action: str, seconds: float) -> dict[str, Any]:
    """Train the baseline for a few steps, two epochs, or as long as ``seconds`` allow; start-up is measured too.

    The result says how far it came (``state``) after how many ``seconds``, and where that was seen what an epoch takes
    and what comes before the first (``seconds_per_epoch``, ``start_seconds``).
    """
    trial = Trial(number=0, origin="baseline", values=dict(on.baseline), epochs=on.form.full_epochs())
    with tempfile.TemporaryDirectory() as folder:
        store = JobStore(folder)
        record = store.create(JobRecord(job_id=_ID, skill=skill, action=action, results_dir=str(store.folder(_ID))))
        (store.folder(_ID) / action).mkdir()
        # One slot is used, with the share of the machine that a trial has in the search.
        slots = LocalSlots(on.form, on.program, store, record, metric=on.metric, slots=on.at_once or 1)
        try:
            return _watch(slots, trial, seconds, store.folder(trial_job_id(_ID, 0)) / action)
        finally:
            slots.close()


def _watch(slots: LocalSlots, trial: Trial, seconds: float, folder: Path) -> dict[str, Any]:
    begin = time.monotonic()
    running, epochs = slots.start(trial), _Epochs()
    cost, seen, is_asked = None, 0.0, False
    instead: Sequence[str] | None = None
    while True:
        progress = running.poll()
        if not is_asked:
            seen = time.monotonic() - begin
            epochs.note(progress.reports, seen)
            instead = None if epochs.first else progress.instead
        if progress.end is not None:
            break
        if not is_asked:
            # What a few steps say of an epoch, epochs say better.
            cost = None if epochs.first else epoch_cost(folder)
            if cost is not None or epochs.are_two or seen > seconds or instead is not None:
                running.stop("the review has seen enough")
                is_asked = True
        time.sleep(0.05)
    if progress.end.failure is not None:
        return {"state": "failed", "seconds": seen, "reason": progress.end.failure.message}
    if instead is not None:
        reported = f"; it reports {', '.join(instead)}" if instead else ""
        return {"state": "failed", "seconds": seen, "reason": f"it does not report {slots.metric}{reported}"}
    if cost is not None:
        told = {"seconds_per_epoch": cost.seconds, "start_seconds": seen, **asdict(cost)}
        return {"state": "a few steps", "seconds": seen, **told}
    return {"seconds": seen, **epochs.told()}


class _Epochs:
    """When a trial told of epochs, first and last: of each, its number and the seconds since the trial's start."""

    def __init__(self) -> None:
        self.first: tuple[int, float] | None = None
        self._last = (0, 0.0)

    @property
    def are_two(self) -> bool:
        """Say whether time has passed between two of them; what came together says nothing of an epoch."""
        return self.first is not None and self._last[0] > self.first[0]

    def note(self, reports: Sequence[tuple[int, float | None]], seconds: float) -> None:
        """Take what was reported by now."""
        latest = max((epoch for epoch, _ in reports), default=0)
        if latest > self._last[0]:
            self._last = (latest, seconds)
            self.first = self.first or self._last

    def told(self) -> dict[str, Any]:
        """Return how far the trial came, and its costs: of a first epoch alone, the start is a part."""
        if self.first is None:
            return {"state": "less than an epoch"}
        epoch, until = self.first
        if not self.are_two:
            state = "an epoch" if epoch == 1 else f"{epoch} epochs"
            return {"state": state, "seconds_per_epoch": until / epoch, "start_seconds": 0.0}
        each = (self._last[1] - until) / (self._last[0] - epoch)
        start = max(until - each * epoch, 0.0)
        return {"state": f"{self._last[0]} epochs", "seconds_per_epoch": each, "start_seconds": start}
