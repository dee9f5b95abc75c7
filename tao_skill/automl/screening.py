"""How long trials train before they are compared, where the wall clock holds too few full trainings for a search.

All trials then pause at the same epoch; the best few go on from their checkpoints to a later one, and the best of
those trains for the rest of the time, as long as it improves. What else runs, or runs then, are new trials that begin
from the best one's checkpoint with other values, where the algorithm proposes such; else the other finalists as long as
they improve, and the baseline, which a plain training would have trained in all that time. Where the time is too little
even for that, no trial pauses, and the clock ends those that run.
"""

from __future__ import annotations

import math

from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.config.automl import AutoML

__all__ = [
    "FINALISTS",
    "SHARE",
    "baseline_again",
    "can_be_judged",
    "final_epoch",
    "finalists",
    "first_pause",
    "improving_finalist",
    "is_flat",
    "next_finalist",
    "unfinished",
]

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
_FINAL_FACTOR = 2
# A trial may be flat when it has not improved for this part of its epochs.
_PATIENCE = 1 / 3
# Reports, and epochs at least: the first epoch of a process is slower than the others.
_JUDGED_AFTER = 2


def can_be_judged(settings: AutoML, history: SearchHistory, trial: Trial) -> bool:
    """Say whether it is time to decide how long trials train: the first that works has shown what an epoch costs."""
    wanted = settings.automl_max_minutes is not None and settings.automl_early_stopping
    if not wanted or history.algorithm not in _ALGORITHMS or history.first_pause is not None:
        return False
    first = next((one for one in history.trials if one.goes_on or one is trial), trial)
    return trial is first and len(trial.reports) >= _JUDGED_AFTER


def first_pause(
    settings: AutoML, full_epochs: int, seconds_per_epoch: float, slots: int = 1, *, spent: float = 0.0
) -> int:
    """Return the epoch after which trials pause to be compared; 0: they don't, each is trained to the end.

    ``seconds_per_epoch`` is what an epoch takes while ``slots`` trials run at once, ``spent`` are seconds that trials
    took which failed.
    """
    assert settings.automl_max_minutes is not None
    affordable = (settings.automl_max_minutes * 60 - spent) / max(seconds_per_epoch, 1e-9)
    in_all = affordable * min(slots, settings.automl_max_recommendations)
    if in_all >= _ENOUGH_TRAININGS * full_epochs:
        return 0
    trials = min(settings.automl_max_recommendations, _ENOUGH_TRAININGS)
    earliest = math.ceil(min(full_epochs, affordable) * _EARLIEST)
    pause = max(settings.automl_min_epochs, _JUDGED_AFTER, earliest, int(SHARE * min(in_all / trials, affordable)))
    fits = SHARE * in_all / pause >= min(trials, _FEWEST)
    return pause if pause < full_epochs and fits and trials > 1 else 0


def final_epoch(history: SearchHistory) -> int:
    """Return the epoch at which the finalists are compared."""
    return min(_FINAL_FACTOR * (history.first_pause or 0), history.full_epochs)


def finalists(history: SearchHistory) -> list[Trial]:
    """Return the best trials, which go on, the best first."""
    return history.ranked()[:FINALISTS] if history.first_pause else []


def unfinished(history: SearchHistory) -> Trial | None:
    """Return the trial that trains the best one's model to the end of a full training, where that was not done.

    It is the best itself, where it was stopped, or where it is a generation of a member that ended before that: then
    another trial goes on from it, or the one does that began to, with the same values.
    """
    best = history.best()
    if best is None or best.last_epoch >= history.full_epochs:
        return None
    if best.state == "stopped":
        return best
    if best.state != "complete" or best.epochs >= history.full_epochs:
        return None
    heirs = [one for one in _heirs(history, best) if one.epochs >= history.full_epochs]
    if not heirs:
        return best
    return next((one for one in heirs if _can_go_on(history, one)), None)


def _heirs(history: SearchHistory, best: Trial) -> list[Trial]:
    """Return the trials that went on from a trial, or from one that did, with its values."""
    line = {best.number}
    for trial in history.trials:  # who goes on comes after whom it goes on from
        if trial.continues in line and trial.values == best.values:
            line.add(trial.number)
    return [history.trials[number] for number in sorted(line - {best.number})]


def is_flat(history: SearchHistory, trial: Trial) -> bool:
    """Say whether a trial has not improved for so long that the time is better spent on another one.

    It has neither reached a new best nor become better on average: one lucky epoch early would make it look flat.
    """
    best = history.trained_value(trial)
    since = min((report.epoch for report in trial.reports if report.value == best), default=0)
    # What a trial took over, with the checkpoint of the one it went on from, adds nothing to its patience.
    patience = max(history.first_pause or 0, math.ceil(trial.own_epochs * _PATIENCE))
    last = trial.last_epoch
    if last - since < patience:
        return False
    lately, before = (_mean(trial, end - patience, end) for end in (last, last - patience))
    return lately is None or before is None or not history.better(lately, before)


def _mean(trial: Trial, after: int, until: int) -> float | None:
    """Return the mean of a trial's own reports after an epoch; None where its own don't begin by then."""
    if after < trial.begun:
        return None
    values = [one.value for one in trial.reports if after < one.epoch <= until and one.value is not None]
    return sum(values) / len(values) if values else None


def next_finalist(history: SearchHistory) -> tuple[Trial, int] | None:
    """Return the finalist that goes on next, and the epoch at which it pauses, 0 where it doesn't.

    Those that have not been compared yet come first; then the best of all, if it isn't flat.
    """
    best, until = finalists(history), final_epoch(history)
    for trial in best:
        if trial.last_epoch < until and _can_go_on(history, trial):
            return trial, until
    goes_on = best and _can_go_on(history, best[0]) and not is_flat(history, best[0])
    return (best[0], 0) if goes_on else None


def improving_finalist(history: SearchHistory) -> Trial | None:
    """Return the best finalist that can go on and isn't flat."""
    waiting = (one for one in finalists(history) if _can_go_on(history, one))
    return next((one for one in waiting if not is_flat(history, one)), None)


def baseline_again(history: SearchHistory) -> Trial | None:
    """Return the baseline, where it can go on.

    It does even where it is flat: what is left of the time is worth no less than in a plain training.
    """
    return next((one for one in history.trials[:1] if _can_go_on(history, one)), None)


def _can_go_on(history: SearchHistory, trial: Trial) -> bool:
    """Say whether a trial is worth starting again; one that failed of that would again."""
    if trial.failure is not None:
        return False
    return trial.state == "stopped" and trial.checkpoints_kept and trial.last_epoch < history.full_epochs
