"""A trial in a slot of this machine or of a cluster: what is new of it, and how it is ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from tao_skill.automl.executor import End, Progress
from tao_skill.automl.failure import classify
from tao_skill.automl.history import Failure, Trial
from tao_skill.automl.warm_worker import Worker
from tao_skill.errors import TaoSkillError
from tao_skill.run.trial_end import checkpoint_bytes, end_of, held_value
from tao_skill.run.trial_reports import ReportReader

__all__ = ["DoneTrial", "Keeper", "RunningTrial", "Slot", "broken"]

# After so many seconds a trial that was asked to end is killed.
GRACE_SECONDS = 30.0
# How often it is looked whether somebody canceled a trial whose process is not of this machine.
_LOOK_SECONDS = 1.0


class Keeper(Protocol):
    """Who holds the slots, as a trial in one of them sees it."""

    metric: str

    def note_waiting(self) -> None:
        """Learn that a trial waits for room."""

    def was_canceled(self, trial: Trial) -> bool:
        """Say whether somebody ended the trial's job from elsewhere."""

    def take_end(self, running: RunningTrial, end: End) -> End:
        """Free the slot and write down how the trial ended; return that, or how it failed of being written down."""


@dataclass
class Slot:
    """Room for one trial, with the worker that waits there."""

    env: dict[str, str]
    worker: Worker | None = None
    busy: bool = False


@dataclass
class RunningTrial:
    """A trial in a slot; implements `Running`."""

    keeper: Keeper
    slot: Slot
    worker: Worker
    trial: Trial
    folder: Path
    reader: ReportReader
    since: float
    kill_at: float | None = None
    # Whether its worker may be used again: what a program that ended badly left in its memory is not trusted.
    is_sound: bool = False
    look_at: float = 0.0
    reasons: list[str] = field(default_factory=list)

    def poll(self) -> Progress:
        answer, code = self.worker.answer(), self.worker.exit_code
        reports = self.reader.new()
        if answer is None and code is None:
            self._kill_where_due()
            waits = self.worker.waits
            if waits:
                self.since = time.monotonic()
                self.keeper.note_waiting()
            return Progress(reports, instead=self.reader.instead(ended=False), waits=waits)
        if answer is None:
            answer = self.worker.answer()
        reports += self.reader.new()
        self.is_sound = answer is not None and (answer["code"] == 0 or answer["how"] == "stopped")
        told = max([self.trial.last_epoch, *(epoch for epoch, _ in reports)])
        last = self.reader.last() if answer is not None and answer["code"] == 0 else []
        early = told < self.trial.epochs if told else not last
        end = self.keeper.take_end(self, self._end(answer, code, early))
        if end.state == "done":
            reports += last
        return Progress(reports, end, instead=self.reader.instead(ended=end.state == "done"))

    def stop(self, reason: str) -> None:
        self.reasons.append(reason)
        self.kill_at = self.kill_at or time.monotonic() + GRACE_SECONDS
        self.worker.stop(self.trial.number)

    def _kill_where_due(self) -> None:
        now = time.monotonic()
        canceled = False
        if self.worker.pid is None and now > self.look_at:
            # On this machine `jobs cancel` ends the process itself.
            self.look_at = now + _LOOK_SECONDS
            canceled = self.keeper.was_canceled(self.trial)
        if canceled or (self.kill_at is not None and now > self.kill_at):
            self.worker.kill()

    def _end(self, answer: Mapping[str, Any] | None, code: int | None, early: bool) -> End:
        wall = time.monotonic() - self.since
        try:
            end = end_of(
                answer, code, self.folder, metric=self.keeper.metric, asked=bool(self.reasons), wall=wall, early=early
            )
            if end.state == "failed" and self.keeper.was_canceled(self.trial):
                return replace(end, failure=Failure(kind="configuration", message="its job was canceled"))
        except TaoSkillError as error:  # what it left can't be read
            return broken(error)
        return end


@dataclass
class DoneTrial:
    """A trial that had ended well when a kill came, before the history said so; implements `Running`."""

    reader: ReportReader
    folder: Path
    metric: str

    def poll(self) -> Progress:
        reports = self.reader.new() or self.reader.last()
        try:
            held = held_value(self.folder, self.metric)
            end = End("done", checkpoint_bytes=checkpoint_bytes(self.folder), held_value=held)
        except TaoSkillError as error:
            end = broken(error)
        return Progress(reports, end, instead=self.reader.instead(ended=end.state == "done"))

    def stop(self, reason: str) -> None:
        del reason


def broken(error: TaoSkillError) -> End:
    """Return the end of a trial whose folder can't be read or written."""
    return End("failed", classify(code=error.code, message=error.message))
