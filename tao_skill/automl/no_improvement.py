"""End a trial whose metric no longer improves, on top of another pruner."""

from __future__ import annotations

import optuna
from optuna.pruners import BasePruner

__all__ = ["NoImprovementPruner"]


class NoImprovementPruner(BasePruner):
    """Prune where ``wrapped`` does, and where the best of the last ``patience`` reports adds less than a share to it.

    ``threshold`` is a share of the best value before them. Optuna's own PatientPruner does the opposite: it spares
    trials that still improve.
    """

    def __init__(self, wrapped: BasePruner, threshold: float, patience: int) -> None:
        self._wrapped, self._threshold, self._patience = wrapped, threshold, patience

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Say whether the trial should end."""
        if self._wrapped.prune(study, trial):
            return True
        values = [value for _, value in sorted(trial.intermediate_values.items())]
        if len(values) <= self._patience:
            return False
        sign = 1.0 if study.direction == optuna.study.StudyDirection.MAXIMIZE else -1.0
        before = max(sign * value for value in values[: -self._patience])
        lately = max(sign * value for value in values[-self._patience :])
        return lately - before < self._threshold * abs(before)
