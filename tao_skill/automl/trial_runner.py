"""The trials that run: start them, watch them, take what they report, stop them, start them again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from tao_skill.automl.budget import Budget
from tao_skill.automl.executor import End, Executor, Progress, Running
from tao_skill.automl.failure import classify
from tao_skill.automl.history import INTERRUPTED, Failure, SearchHistory, Trial
from tao_skill.automl.retention import disk_bound
from tao_skill.config.automl import AutoML
from tao_skill.errors import JobError, TaoSkillError

__all__ = ["Attempt", "TrialRunner"]

_log = logging.getLogger(__name__)
_TICK_SECONDS = 0.05


@dataclass
class Attempt:
    """A trial from one start of it to its end; ``since`` and ``first_at`` are moments of the monotonic clock."""

    trial: Trial
    running: Running
    since: float
    # What it reported before, in another attempt, says nothing of time when it is told again.
    reported: int = 0
    counted: float = 0.0
    first_at: float | None = None
    first_epoch: int = 0
    asked_to_stop: str = ""
    timed_out: bool = False

    def seconds_per_epoch(self) -> float | None:
        """Return what an epoch took so far, in seconds, without the start; None where that can't be told yet."""
        if self.first_at is None or self.trial.last_epoch <= self.first_epoch:
            return None
        return (time.monotonic() - self.first_at) / (self.trial.last_epoch - self.first_epoch)

    def age(self) -> float:
        """Return the seconds since it was started."""
        return time.monotonic() - self.since

    def note_time(self) -> None:
        """Remember when the first reports came; those that came together say nothing of what an epoch takes."""
        if self.first_at is None and self.trial.last_epoch > self.reported:
            self.first_at, self.first_epoch = time.monotonic(), self.trial.last_epoch

    def note_wait(self) -> None:
        """Count what has passed as none of the trial's own time."""
        self.since = self.counted = time.monotonic()

    def count_time(self) -> None:
        """Add what has passed since that was done last to the trial's seconds."""
        now = time.monotonic()
        self.trial.seconds += now - self.counted
        self.counted = now

    def stop(self, reason: str) -> None:
        """Ask the trial to end at its last checkpoint."""
        self.asked_to_stop = reason
        self.running.stop(reason)


@dataclass(frozen=True)
class _Ended:
    """A trial that came to its end elsewhere; implements `Running`."""

    progress: Progress

    def poll(self) -> Progress:
        return self.progress

    def stop(self, reason: str) -> None:
        del reason


class TrialRunner:
    """Keeps trials running on an executor's slots and the history up to date; ``save`` writes it after each change.

    ``on_report`` takes each report (the attempt, the epoch, the metric) and returns why the trial ends there, or an
    empty text. ``on_end`` takes each trial whose last attempt ended.
    """

    def __init__(
        self,
        history: SearchHistory,
        settings: AutoML,
        executor: Executor,
        *,
        save: Callable[[SearchHistory], None],
        on_report: Callable[[Attempt, int, float | None], str],
        on_end: Callable[[Trial], None],
    ) -> None:
        self._history, self._settings, self._executor = history, settings, executor
        self._save, self._on_report, self._on_end = save, on_report, on_end
        self.budget = Budget(settings, history, can_go_on=executor.can_go_on)
        self._attempts: list[Attempt] = []
        # What trials report where none of them reports the metric; None while that may be.
        self.reported_instead: list[str] | None = None
        self._is_draining = False
        self._interrupted = [trial for trial in history.trials if trial.goes_on]
        self._began = time.monotonic() - history.seconds

    @property
    def trials(self) -> list[Trial]:
        """Return the trials that run."""
        return [one.trial for one in self._attempts]

    @property
    def slots(self) -> int:
        """Return how many trials may run at once."""
        return self._executor.slots

    @property
    def can_go_on(self) -> bool:
        """Say whether a trial that was stopped can train on."""
        return self._executor.can_go_on

    def can_begin_from(self, trial: Trial) -> bool:
        """Say whether another trial can begin from the newest checkpoint of this one."""
        return self._executor.can_begin_from(trial)

    @property
    def has_room(self) -> bool:
        """Say whether a slot is free."""
        return len(self._attempts) < self._executor.slots

    @property
    def has_interrupted(self) -> bool:
        """Say whether trials wait that ran when the search was interrupted or killed."""
        return bool(self._interrupted)

    def seconds(self) -> float:
        """Return the wall clock of the search so far, all its runs together, in seconds."""
        return time.monotonic() - self._began

    def start(self, trial: Trial) -> None:
        """Start a trial, from its newest checkpoint where it has one."""
        trial.went_on = trial.went_on or (trial.state == "stopped" and trial.reason != INTERRUPTED)
        trial.state, trial.reason, trial.failure = "running", "", None
        trial.attempts += 1
        # First written down, then started: what was killed in between is started again.
        self.persist()
        running, now = self._started(trial), time.monotonic()
        self._attempts.append(Attempt(trial, running, now, reported=trial.last_epoch, counted=now))
        self.persist()

    def leave_interrupted(self, reason: str) -> None:
        """Let what ran when the search was interrupted or killed be as it is, where the search is over without it."""
        for trial in self._interrupted:
            progress, now = self._left(trial, reason), time.monotonic()
            if progress.end is not None and progress.end.state == "failed":  # what it had before is no more
                trial.went_on = trial.checkpoints_kept = False
            running = _Ended(progress)
            self._attempts.append(
                Attempt(trial, running, now, reported=trial.last_epoch, counted=now, asked_to_stop=reason)
            )
        self._interrupted = []
        self.drain(reason)

    def _left(self, trial: Trial, reason: str) -> Progress:
        try:
            return self._executor.leave(trial, reason)
        except (TaoSkillError, OSError) as error:  # its folder can't be read
            code = error.code if isinstance(error, TaoSkillError) else "storage_error"
            return Progress(end=End("failed", classify(code=code, message=str(error))))

    def _started(self, trial: Trial) -> Running:
        try:
            return self._executor.start(trial)
        except TaoSkillError as error:  # of this trial alone: its folder holds what can't be read, say
            return _not_started(error)
        except OSError as error:  # no memory for a process, no place for a file: the next one would fare no better
            problem = JobError(
                f"Trial {trial.number} can't be started: {error}.",
                next_step="look after this machine; `python -m tao_skill automl resume` goes on",
            )
            if trial.attempts > self._settings.automl_max_retries:
                raise problem from error
            return _not_started(problem)

    def start_interrupted(self) -> bool:
        """Start one again that ran when the search was interrupted or killed; say whether there was one, and a slot."""
        if not self._interrupted or not self.has_room:
            return False
        trial = self._interrupted.pop(0)
        trial.attempts = 0
        self.start(trial)
        return True

    def watch(self) -> None:
        """Take what is new of the trials that run; never wait."""
        for one in list(self._attempts):
            progress = one.running.poll()
            for epoch, value in progress.reports:
                self._history.add_report(one.trial, epoch, value)
            # Once all are known that came together: what an epoch takes is told by the last one.
            for epoch, value in progress.reports:
                self._take_report(one, epoch, value)
            if progress.waits:
                one.note_wait()
            if progress.reports:
                one.note_time()
                one.count_time()
                self.persist()
            if progress.end is not None:
                self._attempts.remove(one)
                self._take_end(one, progress.end)
            elif self._is_late(one):
                one.timed_out = True
                one.stop("it took too long")
            if progress.instead is not None and not any(map(_has_reported, self._history.trials)):
                self.reported_instead = list(progress.instead)

    def wait(self) -> None:
        """Let the moment pass after which it is worth looking again."""
        time.sleep(_TICK_SECONDS)

    def drain(self, reason: str) -> None:
        """Stop all that runs and wait until it has ended; what fails of the machine then isn't started again."""
        self._is_draining = True
        for one in self._attempts:
            if not one.asked_to_stop:
                one.stop(reason)
        while self._attempts:
            self.watch()
            self.wait()
        self._is_draining = False

    def forget(self, trials: Iterable[Trial]) -> None:
        """Remove the checkpoints of trials that ended."""
        for trial in trials:
            self._executor.forget(trial)
            trial.checkpoints_kept = False

    def persist(self) -> None:
        """Write the history down."""
        best = self._history.best()
        self._history.winner = None if best is None else best.number
        self._history.seconds = self.seconds()
        self._history.disk_bound = disk_bound(self._history, self._settings, self._executor.slots)
        self._save(self._history)

    def _take_report(self, one: Attempt, epoch: int, value: float | None) -> None:
        why = self._on_report(one, epoch, value)
        if why and epoch < one.trial.epochs and not one.asked_to_stop:
            one.stop(f"{why} after epoch {epoch}")

    def _is_late(self, one: Attempt) -> bool:
        limit = self._settings.automl_trial_timeout_minutes
        return limit is not None and not one.asked_to_stop and time.monotonic() - one.since > limit * 60

    def _take_end(self, one: Attempt, end: End) -> None:
        trial = one.trial
        one.count_time()
        trial.overhead_seconds += end.overhead
        self._history.largest_trial_bytes = max(self._history.largest_trial_bytes, end.checkpoint_bytes)
        if one.timed_out:
            end = replace(end, state="failed", failure=classify(timed_out=True))
        if end.failure is not None and end.failure.kind == "infrastructure":
            if self._start_again(trial, end.failure):
                return
            if self._history.state == "interrupted":  # it goes on with the search, from what it has
                one.asked_to_stop = INTERRUPTED
                end = replace(end, state="stopped", failure=None)
        self._settle(one, end)
        self.persist()  # before anything is removed: another one may be the best now
        self._on_end(trial)
        self.persist()
        _log.info("%s", _line(self._history, trial))

    def _settle(self, one: Attempt, end: End) -> None:
        """Note how a trial ended."""
        trial = one.trial
        self._history.settle(trial, end.held_value)
        trial.failure = end.failure
        trial.reason = one.asked_to_stop if end.state == "stopped" else ""
        trial.state = "complete" if end.state == "done" else end.state
        if trial.state == "complete" and trial.best_value is None:
            message = f"it ended well, but reported no {self._history.metric}"
            trial.state, trial.failure = "failed", Failure(kind="configuration", message=message)
        if trial.state == "failed" and trial.went_on and trial.best_value is not None:
            # The checkpoint that it had before, or a better one, is still there.
            trial.state, trial.reason = "stopped", "it failed when it trained on"

    def _start_again(self, trial: Trial, failure: Failure) -> bool:
        """Start a trial again that failed of the machine, from its newest checkpoint; say whether it was."""
        over = self._is_draining or self.budget.why_over(self.seconds())
        if over or trial.attempts > self._settings.automl_max_retries:
            return False
        _log.warning("trial %d failed (%s); it is started again", trial.number, failure.message)
        self.start(trial)
        return True


def _not_started(error: TaoSkillError) -> Running:
    return _Ended(Progress(end=End("failed", classify(code=error.code, message=error.message))))


def _line(history: SearchHistory, trial: Trial) -> str:
    shown = "no value" if trial.best_value is None else f"{trial.best_value:.4g} (epoch {trial.best_epoch})"
    best = history.best()
    leader = "" if best is None else f"; best: trial {best.number}, {best.best_value:.4g}"
    why = f", {trial.reason}" if trial.reason else ""
    why += f", {trial.failure.kind}: {trial.failure.message}" if trial.failure else ""
    return f"trial {trial.number} ({trial.origin}) {trial.state}{why}: {history.metric} {shown}{leader}"


def _has_reported(trial: Trial) -> bool:
    return bool(trial.reports) or trial.best_value is not None
