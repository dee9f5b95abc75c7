"""When a search ends: trials, wall clock and target, whichever comes first; and what the winner still needs."""

from __future__ import annotations

from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.automl.screening import FINALISTS, SHARE, final_epoch, unfinished
from tao_skill.config.automl import AutoML

__all__ = ["Budget", "seconds_per_epoch"]

# Time is kept for the winner's last epochs with a little more than they took so far.
_MARGIN = 1.1


class Budget:
    """Reads the history; ``seconds`` is always the wall clock of the search so far.

    ``can_go_on`` says whether a trial that was stopped can train on.
    """

    def __init__(self, settings: AutoML, history: SearchHistory, *, can_go_on: bool = True) -> None:
        self._settings, self._history, self._can_go_on = settings, history, can_go_on
        self._limit = settings.automl_max_minutes * 60 if settings.automl_max_minutes else None

    def may_start(self, seconds: float) -> bool:
        """Say whether another trial may begin."""
        enough = len(self._history.trials) < self._settings.automl_max_recommendations
        return enough and self.why_over(seconds) == ""

    def why_over(self, seconds: float) -> str:
        """Say why the search is over for the trials that run; empty while it goes on."""
        best = self._history.best()
        if best is not None and self.is_target_reached():
            return f"trial {best.number} reached the target {self._settings.automl_target:g}"
        if self._limit is not None and seconds + self._reserve(best) >= self._limit:
            return f"the wall clock of {self._settings.automl_max_minutes:g} minutes is used up"
        return ""

    def is_target_reached(self) -> bool:
        """Say whether a trial was as good as was asked for."""
        best, target = self._history.best(), self._settings.automl_target
        if best is None or best.best_value is None or target is None:
            return False
        return best.best_value == target or self._history.better(best.best_value, target)

    def left(self, seconds: float) -> float | None:
        """Return the seconds that are left; None where there is no limit."""
        return None if self._limit is None else max(0.0, self._limit - seconds)

    def _reserve(self, best: Trial | None) -> float:
        """Return the seconds that the best trial needs to end its training, where it was stopped before that."""
        history, pause = self._history, self._history.first_pause
        trial = unfinished(history)
        # What was compared is what the time was kept for.
        if best is None or trial is None or not self._can_go_on or history.compared:
            return 0.0
        epochs = history.full_epochs - trial.last_epoch
        if pause:
            epochs += (FINALISTS - 1) * (final_epoch(history) - pause)
        needed = epochs * seconds_per_epoch(history) * _MARGIN
        # Members of a population need time to be one.
        is_shared = pause or trial.state == "complete"
        return min(needed, (1 - SHARE) * self._limit) if is_shared and self._limit else needed


def seconds_per_epoch(history: SearchHistory) -> float:
    """Return the mean over all trials that reported; 0 where none did."""
    done = [(trial.seconds, trial.own_epochs) for trial in history.trials if trial.ended]
    epochs = sum(epochs for _, epochs in done)
    return sum(seconds for seconds, own in done if own) / epochs if epochs else 0.0
