"""A search, step by step: ask, start, watch, stop what is hopeless, keep what is good, finish the winner."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from tao_skill.automl.budget import Budget
from tao_skill.automl.executor import End, Executor, Running
from tao_skill.automl.history import INTERRUPTED, SearchHistory, Trial
from tao_skill.automl.retention import disk_bound, out_of_race
from tao_skill.automl.screening import (
    baseline_again,
    can_be_judged,
    finalists,
    first_pause,
    is_flat,
    next_finalist,
)
from tao_skill.automl.searcher import Ended, Recommendation, Searcher
from tao_skill.config.automl import AutoML

__all__ = ["Search", "Stopped"]

_log = logging.getLogger(__name__)
_TICK_SECONDS = 0.05
# So many failures from the start, and no trial that worked: the rest would fail too.
_HOPELESS_FAILURES = 5
# So many of those that went on with other values, one after the other, and no more are tried.
_FAILURES_BORNE = 3


class Stopped(Exception):  # noqa: N818  # not an error: somebody asked for it
    """The search was asked to end."""


@dataclass
class _Watched:
    trial: Trial
    running: Running
    since: float
    first_report: float | None = None
    asked_to_stop: str = ""
    timed_out: bool = False


class Search:
    """Runs trials on an executor until the budget is used up; ``save`` writes the history after each change.

    ``asked_to_stop`` returns why somebody wants the search to end, or an empty text.
    """

    def __init__(
        self,
        history: SearchHistory,
        settings: AutoML,
        searcher: Searcher,
        executor: Executor,
        *,
        save: Callable[[SearchHistory], None],
        asked_to_stop: Callable[[], str] = str,
    ) -> None:
        self._history, self._settings = history, settings
        self._searcher, self._executor = searcher, executor
        self._save, self._asked_to_stop = save, asked_to_stop
        self._budget = Budget(settings, history)
        self._watched: list[_Watched] = []
        self._interrupted = [trial for trial in history.trials if trial.goes_on]
        self._began = time.monotonic() - history.seconds
        self._exhausted = False

    def run(self) -> SearchHistory:
        """Search, finish the winner's training, and return the history.

        Raises:
            Stopped: it was asked to end before that; the trials that ran were stopped at their last checkpoints.
        """
        history = self._history
        history.state = "running"
        try:
            if not history.compared:
                self._compare()
            if history.first_pause:
                history.compared = True
                self._train_on()
            self._finish_winner()
        except BaseException:
            self._interrupt()
            raise
        history.state = "ended"
        self._note_winner()
        self._persist()
        return history

    def _compare(self) -> None:
        """Try values until the budget is used up, but for what the best need then."""
        self._history.end_reason = ""
        while not self._is_over():
            self._fill_slots()
            self._watch()
            time.sleep(_TICK_SECONDS)

    def _is_over(self) -> bool:
        self._check_stop()
        history = self._history
        reason = self._budget.why_over(self._seconds()) or self._hopeless()
        if not reason and not self._watched and not self._interrupted:
            if len(history.trials) >= self._settings.automl_max_recommendations:
                reason = f"all {len(history.trials)} trials are done"
            elif self._exhausted:
                reason = self._searcher.why_over()
        if not reason:
            return False
        history.end_reason = reason
        self._drain(reason)
        return True

    def _hopeless(self) -> str:
        trials = [trial for trial in self._history.trials if trial.ended]
        if len(trials) < _HOPELESS_FAILURES or any(trial.state != "failed" for trial in trials):
            return ""
        return (
            f"the first {len(trials)} trials failed, the last with: {trials[-1].failure and trials[-1].failure.message}"
        )

    def _fill_slots(self) -> None:
        while self._go_on_with_interrupted():
            continue
        while len(self._watched) < self._executor.slots and self._budget.may_start(self._seconds()):
            found = self._searcher.ask()
            self._exhausted = found is None
            if found is None:
                return
            self._add(found, self._history.first_pause or 0)

    def _add(self, found: Recommendation, pause_at: int) -> None:
        trial = Trial(
            number=found.number, origin=found.origin, continues=found.continues, values=found.values,
            epochs=found.epochs, pause_at=pause_at,
        )  # fmt: skip
        self._history.trials.append(trial)
        self._start(trial)

    def _start(self, trial: Trial) -> None:
        trial.state, trial.reason, trial.failure = "running", "", None
        trial.attempts += 1
        # First written down, then started: what was killed in between is started again.
        self._persist()
        self._watched.append(_Watched(trial, self._executor.start(trial), time.monotonic()))
        self._persist()

    def _watch(self) -> None:
        for one in list(self._watched):
            progress = one.running.poll()
            for epoch, value in progress.reports:
                self._take_report(one, epoch, value)
            if progress.end is not None:
                self._watched.remove(one)
                self._take_end(one, progress.end)
            elif self._is_late(one):
                one.timed_out = True
                self._stop(one, "it took too long")

    def _take_report(self, one: _Watched, epoch: int, value: float | None) -> None:
        trial = one.trial
        self._history.add_report(trial, epoch, value)
        one.first_report = one.first_report or time.monotonic()
        hopeless = value is not None and self._searcher.report(trial.number, epoch, value)
        self._decide_on_pauses(one)
        if epoch < trial.epochs and not one.asked_to_stop and (why := self._why_stop(trial, epoch, hopeless)):
            self._stop(one, f"{why} after epoch {epoch}")
        self._persist()

    def _why_stop(self, trial: Trial, epoch: int, hopeless: bool) -> str:
        """Say why a trial is stopped after an epoch; empty where it goes on."""
        history = self._history
        if hopeless and trial.pause_at == (history.first_pause or 0):
            return "hopeless"
        if trial.pause_at and epoch >= trial.pause_at:
            return "paused"
        is_compared = history.first_pause and trial.number > 0 and trial.pause_at == 0
        return "no longer improving" if is_compared and is_flat(history, trial) else ""

    def _decide_on_pauses(self, one: _Watched) -> None:
        """Choose, once the baseline has shown what an epoch costs, how long trials train before they are compared."""
        history, trial = self._history, one.trial
        if can_be_judged(self._settings, history, trial):
            # From report to report, without the start; a trial that went on after a kill has no other report.
            began = one.first_report if one.first_report is not None and trial.last_epoch > 1 else one.since
            per_epoch = (time.monotonic() - began) / max(1, trial.last_epoch - 1)
            slots = self._executor.slots
            history.first_pause = first_pause(self._settings, history.full_epochs, per_epoch, slots)
            for other in self._watched:
                other.trial.pause_at = history.first_pause

    def _is_late(self, one: _Watched) -> bool:
        limit = self._settings.automl_trial_timeout_minutes
        return limit is not None and not one.asked_to_stop and time.monotonic() - one.since > limit * 60

    def _stop(self, one: _Watched, reason: str) -> None:
        one.asked_to_stop = reason
        one.running.stop(reason)

    def _take_end(self, one: _Watched, end: End) -> None:
        trial = one.trial
        trial.seconds += time.monotonic() - one.since
        trial.overhead_seconds += end.overhead
        self._history.largest_trial_bytes = max(self._history.largest_trial_bytes, end.checkpoint_bytes)
        if one.timed_out:
            from tao_skill.automl.failure import classify

            end = End("failed", classify(timed_out=True))
        if end.state == "failed" and self._start_again(trial, end):
            return
        self._history.settle(trial, end.held_value)
        trial.failure = end.failure
        trial.reason = one.asked_to_stop if end.state == "stopped" else ""
        trial.state = {"done": "complete", "stopped": "stopped", "failed": "failed"}[end.state]  # type: ignore[assignment]
        if trial.state == "complete" and trial.best_value is None:
            from tao_skill.automl.history import Failure

            message = f"it ended well, but reported no {self._history.metric}"
            trial.state, trial.failure = "failed", Failure(kind="configuration", message=message)
        if trial.reason != INTERRUPTED:
            self._searcher.tell(trial.number, _ended(trial), self._history.trained_value(trial))
        self._tidy()
        self._persist()
        _log.info("%s", _line(self._history, trial))

    def _start_again(self, trial: Trial, end: End) -> bool:
        """Start a trial again that failed of the machine, from its newest checkpoint."""
        if end.failure is None or end.failure.kind != "infrastructure":
            return False
        if trial.attempts > self._settings.automl_max_retries or self._budget.why_over(self._seconds()):
            return False
        _log.warning("trial %d failed (%s); it is started again", trial.number, end.failure.message)
        self._start(trial)
        return True

    def _go_on_with_interrupted(self) -> bool:
        """Start one again that ran when the search was interrupted or killed; say whether there was one, and a slot."""
        if not self._interrupted or len(self._watched) >= self._executor.slots:
            return False
        trial = self._interrupted.pop(0)
        trial.attempts = 0
        self._start(trial)
        return True

    def _train_on(self) -> None:
        """Let the best of the trials that paused go on, so that few epochs alone don't decide; then those that improve.

        What is left of the time goes into new trials from the best one's checkpoint, or into the baseline.
        """
        while not self._budget.is_target_reached():
            while len(self._watched) < self._executor.slots and self._train_next():
                continue
            if not self._watched or not self._watch_in_time():
                return
        self._drain("the target is reached")

    def _train_next(self) -> bool:
        """Start what is most worth it now, and say whether there was anything."""
        if self._go_on_with_interrupted():
            return True
        if (finalist := next_finalist(self._history)) is not None:
            self._go_on(*finalist)
        elif (found := self._from_the_best()) is not None:
            self._add(found, 0)
        elif (baseline := baseline_again(self._history)) is not None:
            self._go_on(baseline, 0)
        else:
            return False
        return True

    def _from_the_best(self) -> Recommendation | None:
        """Return other values for the best checkpoint that no trial trains on, where the algorithm has some.

        None where only lesser trials are idle, where there are as many trials as may be, or where such values failed.
        """
        trials = self._history.trials
        tried = [trial for trial in trials if trial.continues is not None and trial.ended][-_FAILURES_BORNE:]
        failing = len(tried) == _FAILURES_BORNE and all(trial.state == "failed" for trial in tried)
        if failing or len(trials) >= self._settings.automl_max_recommendations:
            return None
        idle = (one for one in finalists(self._history) if one.ended and one.last_epoch < self._history.full_epochs)
        best = next(idle, None)
        return None if best is None else self._searcher.go_on_from(best)

    def _finish_winner(self) -> None:
        """Train the best trial to the end, where it was stopped before that and there is time."""
        best = self._history.best()
        if best is None or best.state != "stopped" or best.last_epoch >= self._history.full_epochs:
            return
        if self._budget.is_target_reached():
            return
        if self._budget.left(self._seconds()) == 0.0:
            self._history.notes.append("No time was left to train the winner to the end.")
            return
        _log.info("trial %d is the best so far; its training goes on to the end", best.number)
        self._go_on(best, self._history.full_epochs)
        while self._watched and self._watch_in_time():
            continue

    def _go_on(self, trial: Trial, pause_at: int) -> None:
        trial.epochs, trial.pause_at, trial.attempts = self._history.full_epochs, pause_at, 0
        self._start(trial)

    def _watch_in_time(self) -> bool:
        """Watch what runs for a moment; where the wall clock is used up, stop it and return False."""
        self._check_stop()
        self._watch()
        if self._budget.left(self._seconds()) == 0.0:
            self._drain("the wall clock is used up")
            return False
        time.sleep(_TICK_SECONDS)
        return True

    def _drain(self, reason: str) -> None:
        """Stop all that runs and wait until it has ended."""
        for one in self._watched:
            if not one.asked_to_stop:
                self._stop(one, reason)
        while self._watched:
            self._watch()
            time.sleep(_TICK_SECONDS)

    def _check_stop(self) -> None:
        reason = self._asked_to_stop()
        if reason:
            raise Stopped(reason)

    def _interrupt(self) -> None:
        self._history.state = "interrupted"
        try:
            self._drain(INTERRUPTED)
        finally:
            self._note_winner()
            self._persist()

    def _tidy(self) -> None:
        needed = self._searcher.needed() | {trial.number for trial in finalists(self._history)}
        needed |= {0} if self._history.first_pause else set()
        for trial in out_of_race(self._history, self._settings, needed):
            self._executor.forget(trial)
            trial.checkpoints_kept = False

    def _note_winner(self) -> None:
        best = self._history.best()
        self._history.winner = None if best is None else best.number

    def _persist(self) -> None:
        self._history.seconds = self._seconds()
        self._history.disk_bound = disk_bound(self._history, self._settings, self._executor.slots)
        self._note_winner()
        self._save(self._history)

    def _seconds(self) -> float:
        return time.monotonic() - self._began


def _ended(trial: Trial) -> Ended:
    assert trial.state in ("complete", "stopped", "failed")
    return trial.state


def _line(history: SearchHistory, trial: Trial) -> str:
    shown = "no value" if trial.best_value is None else f"{trial.best_value:.4g} (epoch {trial.best_epoch})"
    best = history.best()
    leader = "" if best is None else f"; best: trial {best.number}, {best.best_value:.4g}"
    why = f", {trial.reason}" if trial.reason else ""
    why += f", {trial.failure.kind}: {trial.failure.message}" if trial.failure else ""
    return f"trial {trial.number} ({trial.origin}) {trial.state}{why}: {history.metric} {shown}{leader}"
