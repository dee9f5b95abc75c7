"""How much each searched parameter mattered, by Optuna's PED-ANOVA (Watanabe et al., arXiv:2304.10255)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tao_skill.automl.history import SearchHistory

__all__ = ["importances"]

# Of fewer trials, one alone would decide.
_FEWEST = 6


def importances(history: SearchHistory) -> dict[str, float]:
    """Return the share of each parameter, largest first; they add up to 1. Empty where the trials are too few.

    Trials count with the best value that an epoch reported, as they do in the search: up to the epoch at which all were
    compared, where that was so. Those that failed don't count, nor those that went on from another's checkpoint, to
    which they owe most of their value.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions = {one["key"]: _distribution(one) for one in history.space}
    study = optuna.create_study(direction=history.direction)
    for trial in history.trials:
        value = history.trained_value(trial, until=history.first_pause or None)
        counts = trial.state != "failed" and trial.continues is None
        if value is None or not counts or not _holds(distributions, trial.values):
            continue
        params = {key: trial.values[key] for key in distributions}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    values = {one.value for one in study.get_trials(deepcopy=False)}
    if len(study.trials) < _FEWEST or len(values) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = optuna.importance.get_param_importances(study)
    return {key: float(share) for key, share in found.items() if share == share}  # noqa: PLR0124  # NaN is unlike itself


def _distribution(parameter: Mapping[str, Any]) -> BaseDistribution:
    if parameter["kind"] == "choice":
        return CategoricalDistribution(tuple(parameter["choices"]))
    low, high, log = parameter["low"], parameter["high"], bool(parameter["log"])
    if parameter["kind"] == "integer":
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)


def _holds(distributions: Mapping[str, BaseDistribution], values: Mapping[str, Any]) -> bool:
    """Say whether the space holds values: those of a baseline may lie outside of a user's own ranges."""
    try:
        return all(one._contains(one.to_internal_repr(values[key])) for key, one in distributions.items())
    except (KeyError, ValueError, TypeError):
        return False
