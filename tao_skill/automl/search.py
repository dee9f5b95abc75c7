"""A search, step by step: ask, compare, stop what is hopeless, train on what is good, finish the winner."""

from __future__ import annotations

import logging
from collections.abc import Callable

from tao_skill.automl.executor import Executor
from tao_skill.automl.history import INTERRUPTED, SearchHistory, Trial
from tao_skill.automl.population import to_the_end
from tao_skill.automl.retention import losers, out_of_race
from tao_skill.automl.screening import (
    baseline_again,
    can_be_judged,
    finalists,
    first_pause,
    improving_finalist,
    is_flat,
    next_finalist,
    unfinished,
)
from tao_skill.automl.searcher import Recommendation, Searcher
from tao_skill.automl.trial_runner import Attempt, TrialRunner
from tao_skill.config.automl import AutoML

__all__ = ["Search", "Stopped"]

_log = logging.getLogger(__name__)
# So many failures from the start, and no trial that worked: the rest would fail too.
_HOPELESS_FAILURES = 5
# So many of those that went on with other values, one after the other, and no more are tried.
_FAILURES_BORNE = 3


class Stopped(Exception):  # noqa: N818  # not an error: somebody asked for it
    """The search was asked to end."""


class Search:
    """Decides which trials run on an executor until the budget is used up; ``save`` writes the history at each change.

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
        self._history, self._settings, self._searcher = history, settings, searcher
        self._asked_to_stop = asked_to_stop
        self._runner = TrialRunner(
            history, settings, executor, save=save, on_report=self._take_report, on_end=self._take_end
        )
        self._budget = self._runner.budget
        self._exhausted, self._first = False, len(history.trials)

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
            self._runner.leave_interrupted(history.end_reason or "the search is over")
            self._finish_winner()
            self._runner.forget(losers(history, self._settings))
        except BaseException:
            self._interrupt()
            raise
        history.state = "ended"
        self._runner.persist()
        return history

    @property
    def reported_instead(self) -> list[str] | None:
        """Return what trials report, where that has shown that the metric is not among it; else None."""
        return self._runner.reported_instead

    def _compare(self) -> None:
        """Try values until the budget is used up, but for what the best need then."""
        self._history.end_reason = ""
        while not self._is_over():
            self._fill_slots()
            self._runner.watch()
            self._runner.wait()

    def _is_over(self) -> bool:
        self._check_stop()
        history, runner = self._history, self._runner
        reason = self._budget.why_over(runner.seconds()) or self._hopeless()
        if not reason and not runner.trials and not runner.has_interrupted:
            if len(history.trials) >= self._settings.automl_max_recommendations:
                reason = f"all {len(history.trials)} trials are done"
            elif self._exhausted:
                reason = self._searcher.why_over()
        if not reason:
            return False
        history.end_reason = reason
        runner.drain(reason)
        return True

    def _hopeless(self) -> str:
        if self.reported_instead is not None:
            return f"no trial would report {self._history.metric}"
        trials = [trial for trial in self._history.trials if trial.ended]
        # What failed before the search was resumed may have been mended since.
        lately = sum(trial.number >= self._first for trial in trials)
        if lately < _HOPELESS_FAILURES or any(trial.state != "failed" for trial in trials):
            return ""
        furthest = max(trial.last_epoch for trial in trials)
        if any(one.best_value is not None and one.last_epoch > furthest for one in self._runner.trials):
            return ""  # this one works, as it seems
        return (
            f"the first {len(trials)} trials failed, the last with: {trials[-1].failure and trials[-1].failure.message}"
        )

    def _fill_slots(self) -> None:
        while self._runner.start_interrupted():
            continue
        while self._runner.has_room and self._budget.may_start(self._runner.seconds()):
            found = self._searcher.ask()
            # While others run, their ends may bring more to try.
            self._exhausted = found is None and not self._runner.trials and not self._searcher.is_thinking
            if found is None:
                return
            self._add(found, self._history.first_pause or 0)

    def _add(self, found: Recommendation, pause_at: int) -> None:
        begun = 0 if found.continues is None else self._history.trials[found.continues].last_epoch
        trial = Trial(
            number=found.number, origin=found.origin, continues=found.continues, begun=begun, values=found.values,
            epochs=found.epochs, pause_at=pause_at,
        )  # fmt: skip
        self._history.trials.append(trial)
        self._runner.start(trial)

    def _take_report(self, one: Attempt, epoch: int, value: float | None) -> str:
        """Learn from a report, and say why the trial ends there; empty where it goes on."""
        hopeless = value is not None and self._searcher.report(one.trial.number, epoch, value)
        self._decide_on_pauses(one)
        return self._why_stop(one.trial, epoch, hopeless)

    def _decide_on_pauses(self, one: Attempt) -> None:
        """Choose, once the baseline has shown what an epoch costs, how long trials train before they are compared."""
        history = self._history
        seconds = one.seconds_per_epoch()
        if seconds is not None and self._runner.can_go_on and can_be_judged(self._settings, history, one.trial):
            spent = self._runner.seconds() - one.age() if one.trial.number > 0 else 0.0
            history.first_pause = first_pause(
                self._settings, history.full_epochs, seconds, self._runner.slots, spent=max(0.0, spent)
            )
            for trial in history.trials:
                if trial.goes_on:  # those too that wait since the search was interrupted
                    trial.pause_at = history.first_pause

    def _why_stop(self, trial: Trial, epoch: int, hopeless: bool) -> str:
        history = self._history
        if hopeless and trial.pause_at == (history.first_pause or 0):
            return "hopeless"
        if trial.pause_at and epoch >= trial.pause_at:
            return "paused"
        is_compared = history.first_pause and trial.number > 0 and trial.pause_at == 0
        return "no longer improving" if is_compared and is_flat(history, trial) else ""

    def _take_end(self, trial: Trial) -> None:
        """Learn from how a trial ended, and remove the checkpoints that nobody needs any more."""
        if trial.reason != INTERRUPTED:
            assert trial.state in ("complete", "stopped", "failed")
            self._searcher.tell(trial.number, trial.state, self._history.trained_value(trial))
        self._runner.forget(out_of_race(self._history, self._settings, self._searcher.needed()))

    def _train_on(self) -> None:
        """Let the best of the trials that paused go on, so that few epochs alone don't decide; then the best of all.

        What is left of time and room goes into new trials from that one's checkpoint, or into whatever still improves.
        """
        while not self._budget.is_target_reached():
            while self._runner.has_room and self._train_next():
                continue
            if not self._runner.trials or not self._watch_in_time():
                return
        self._runner.drain("the target is reached")

    def _train_next(self) -> bool:
        """Start what is most worth it now, and say whether there was anything."""
        if self._runner.start_interrupted():
            return True
        if (finalist := next_finalist(self._history)) is not None:
            self._go_on(*finalist)
        elif (found := self._from_the_best()) is not None:
            self._add(found, 0)
        elif (trial := improving_finalist(self._history)) is not None:
            self._go_on(trial, 0)
        elif (baseline := baseline_again(self._history)) is not None:
            self._go_on(baseline, 0)
        else:
            return False
        return True

    def _from_the_best(self) -> Recommendation | None:
        """Return other values for the best checkpoint that can be had, where the algorithm has some.

        None where only lesser trials have one, where there are as many trials as may be, or where such values failed.
        """
        trials = self._history.trials
        tried = [trial for trial in trials if trial.continues is not None and trial.ended][-_FAILURES_BORNE:]
        failing = len(tried) == _FAILURES_BORNE and all(trial.state == "failed" for trial in tried)
        if failing or len(trials) >= self._settings.automl_max_recommendations:
            return None
        unfinished = (one for one in finalists(self._history) if one.last_epoch < self._history.full_epochs)
        best = next((one for one in unfinished if self._runner.can_begin_from(one)), None)
        return None if best is None else self._searcher.go_on_from(best)

    def _finish_winner(self) -> None:
        """Train the best trial to the end, where it was stopped before that and there is time."""
        best = unfinished(self._history)
        if best is None:
            return
        if self._budget.is_target_reached() or best.failure is not None:
            return
        is_generation = best.state == "complete"
        if not self._runner.can_go_on or (is_generation and not self._runner.can_begin_from(best)):
            note = "The winner was stopped early, and the skill doesn't say how a training goes on from a checkpoint."
            self._history.notes.append(note)
            return
        if self._budget.left(self._runner.seconds()) == 0.0:
            self._history.notes.append("No time was left to train the winner to the end.")
            return
        _log.info("trial %d is the best so far; its training goes on to the end", best.number)
        if is_generation:
            self._add(to_the_end(self._history, best), 0)
        else:
            self._go_on(best, self._history.full_epochs)
        while self._runner.trials and self._watch_in_time():
            continue

    def _go_on(self, trial: Trial, pause_at: int) -> None:
        trial.epochs, trial.pause_at, trial.attempts = self._history.full_epochs, pause_at, 0
        self._runner.start(trial)

    def _watch_in_time(self) -> bool:
        """Watch what runs for a moment; where the wall clock is used up, stop it and return False."""
        self._check_stop()
        self._runner.watch()
        if self._budget.left(self._runner.seconds()) == 0.0:
            self._runner.drain("the wall clock is used up")
            return False
        self._runner.wait()
        return True

    def _check_stop(self) -> None:
        reason = self._asked_to_stop()
        if reason:
            raise Stopped(reason)

    def _interrupt(self) -> None:
        self._history.state = "interrupted"
        try:
            self._runner.drain(INTERRUPTED)
        finally:
            self._runner.persist()
