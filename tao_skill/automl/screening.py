"""How long trials train before they are compared, where the wall clock holds too few full trainings for a search.

All trials then pause at the same epoch; the best few go on from their checkpoints to a later one, and the best of
those trains for the rest of the time. So a search spends on its winner what a single training would, less what
comparing costs, and where even that is too little it is that single training.
"""

from __future__ import annotations

import math

from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.config.automl import AutoML

__all__ = ["FINALISTS", "SHARE", "can_be_judged", "final_epoch", "finalists", "first_pause"]

# Algorithms that come with no rungs of their own.
_ALGORITHMS = ("bayesian", "random", "llm", "hybrid")
# So much of the wall clock goes into comparing; the rest into the finalists and the winner.
SHARE = 0.5
# So many full trainings, or trials that pause, are a search.
_ENOUGH_TRAININGS = 8
_FEWEST = 3
# No trial pauses before this part of what the wall clock lets one training have.
_EARLIEST = 1 / 16
FINALISTS = 3
_FINAL_FACTOR = 3
# The first epoch of a process is slower than the others.
_JUDGED_AFTER = 2


def can_be_judged(settings: AutoML, history: SearchHistory, trial: Trial) -> bool:
    """Say whether it is time to decide how long trials train: the baseline has shown what an epoch costs."""
    wanted = settings.automl_max_minutes is not None and settings.automl_early_stopping
    if not wanted or history.algorithm not in _ALGORITHMS or history.first_pause is not None:
        return False
    return trial.number == 0 and trial.last_epoch == _JUDGED_AFTER


def first_pause(settings: AutoML, full_epochs: int, seconds_per_epoch: float) -> int:
    """Return the epoch after which trials pause to be compared; 0: they don't, each is trained to the end."""
    assert settings.automl_max_minutes is not None
    affordable = settings.automl_max_minutes * 60 / max(seconds_per_epoch, 1e-9)
    if affordable >= _ENOUGH_TRAININGS * full_epochs:
        return 0
    trials = min(settings.automl_max_recommendations, _ENOUGH_TRAININGS)
    earliest = math.ceil(min(full_epochs, affordable) * _EARLIEST)
    pause = max(settings.automl_min_epochs, _JUDGED_AFTER, earliest, int(SHARE * affordable / trials))
    fits = SHARE * affordable / pause >= min(trials, _FEWEST)
    return pause if pause < full_epochs and fits and trials > 1 else 0


def final_epoch(history: SearchHistory) -> int:
    """Return the epoch at which the finalists are compared."""
    return min(_FINAL_FACTOR * (history.first_pause or 0), history.full_epochs)


def finalists(history: SearchHistory) -> list[Trial]:
    """Return the best trials, which go on."""
    return history.ranked()[:FINALISTS] if history.first_pause else []
