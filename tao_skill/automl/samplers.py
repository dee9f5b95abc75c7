"""Which of Optuna's samplers, pruners and distributions belong to an algorithm and a parameter."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from tao_skill.automl.history import SearchHistory
from tao_skill.automl.parameter import Parameter
from tao_skill.config.automl import AutoML

__all__ = ["STARTUP_TRIALS", "distribution", "has_gaussian_process", "pruner", "sampler"]

# Fitted to fewer, a Gaussian process of a dozen parameters proposes the corners of the space.
STARTUP_TRIALS = 10


def distribution(parameter: Parameter) -> BaseDistribution:
    """Return what the numbers that stand for a parameter's values are drawn from."""
    if parameter.kind == "integer":
        low, high = int(parameter.low), int(parameter.high)
        if parameter.step > 1:
            first = -(-low // parameter.step) * parameter.step
            return IntDistribution(first, max(high, first), step=parameter.step)
        return IntDistribution(low, high, log=parameter.log)
    # A choice is a number from 0 to 1, each option owning a share as large as its weight: so all samplers obey weights.
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)


def has_gaussian_process() -> bool:
    """Say whether the packages are there that Optuna's Gaussian process needs."""
    return all(find_spec(name) is not None for name in ("torch", "scipy"))


def sampler(name: str, seed: int) -> BaseSampler:
    """Return what draws an algorithm's values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "bayesian" and has_gaussian_process():
            return optuna.samplers.GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
        if name in ("bayesian", "bohb"):
            return optuna.samplers.TPESampler(
                seed=seed, multivariate=True, n_startup_trials=STARTUP_TRIALS, constant_liar=True
            )
    return optuna.samplers.RandomSampler(seed=seed)


def pruner(name: str, settings: AutoML, history: SearchHistory) -> BasePruner:
    """Return what says that a trial is hopeless, as far as it is known how long trials train before they pause."""
    first, factor = settings.automl_min_epochs, settings.automl_reduction_factor
    if not settings.automl_early_stopping or history.full_epochs <= 1:
        return optuna.pruners.NopPruner()
    if name in ("bayesian", "random"):
        return _median(first, history)
    if name == "asha":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=factor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        rungs = optuna.pruners.HyperbandPruner(
            min_resource=min(first, history.full_epochs), max_resource=history.full_epochs, reduction_factor=factor
        )
        if name != "hyperband_es":
            return rungs
        from tao_skill.automl.no_improvement import NoImprovementPruner

        return NoImprovementPruner(rungs, settings.automl_early_stop_threshold, settings.automl_min_early_stop_epochs)


def _median(first: int, history: SearchHistory) -> BasePruner:
    if not history.first_pause:
        # Slow starters get a quarter of the training before they are compared.
        return optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=max(first, history.full_epochs // 4))
    # Trials that pause are compared then; once before that, what has learned hardly anything makes room for others.
    half = max(first, -(-history.first_pause // 2))
    return optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=half, interval_steps=half)
