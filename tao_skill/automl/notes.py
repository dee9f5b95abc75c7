"""What a user should know of the best model of a search, beside how good it is."""

from __future__ import annotations

from tao_skill.automl.history import SearchHistory, Trial

__all__ = ["notes_on"]


def notes_on(history: SearchHistory, winner: Trial) -> list[str]:
    """Return whole sentences; an empty list where there's nothing to say."""
    notes = (_on_start(history, winner), _on_lineage(history, winner), _on_baseline(history, winner))
    return [note for note in notes if note]


def _on_start(history: SearchHistory, winner: Trial) -> str:
    """Say so where no trial beat the model that its training started from, which is then what its checkpoint holds."""
    trained = history.trained_value(winner)
    if winner.best_value is None or trained is None or not history.better(winner.best_value, trained):
        return ""
    return (
        f"No epoch of any trial beat the model that training starts from ({history.metric} {winner.best_value:.4g}), "
        "which the best checkpoint holds: lower rates, more epochs or more data may."
    )


def _on_lineage(history: SearchHistory, winner: Trial) -> str:
    """Say so where the winner's own values are not all that made it."""
    trials = history.trials
    own = winner  # the first of those in a row that had the same values
    while own.continues is not None and trials[own.continues].values == winner.values:
        own = trials[own.continues]
    before: list[int] = []
    trial = own
    while trial.continues is not None:
        trial = trials[trial.continues]
        before.insert(0, trial.number)
    if not before:
        return ""
    words = ", then ".join(f"trial {number}" for number in before)
    return (
        f"The best model was trained with the values of {words} first, and with its own from epoch {own.begun} on: "
        "a training with its values alone may come to something else."
    )


def _on_baseline(history: SearchHistory, winner: Trial) -> str:
    """Say so where the baseline, which the gain is told from, was not trained as long."""
    baseline = history.trials[0]
    if history.baseline is None or baseline.last_epoch >= winner.last_epoch:
        return ""
    return (
        f"The baseline was trained for {baseline.last_epoch} epochs, the best trial for {winner.last_epoch}: "
        "the gain is that of the values and of the epochs together."
    )
