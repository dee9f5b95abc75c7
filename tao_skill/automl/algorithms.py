"""The algorithms by name, those that are refused, and how each is made."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tao_skill.automl.history import SearchHistory
from tao_skill.automl.packages import lack_of_packages
from tao_skill.automl.searcher import Searcher
from tao_skill.automl.space import SearchSpace
from tao_skill.config.automl import AutoML
from tao_skill.errors import NotAvailableError, Problem, UsageError

__all__ = ["ALGORITHMS", "LANGUAGE_MODEL", "MULTI_FIDELITY", "TRIES_POINTS", "algorithm_name", "make_searcher"]

# What each does, in a few words, for people and documents.
ALGORITHMS: dict[str, str] = {
    "bayesian": "values that did well elsewhere, then a few other values than the baseline's or the best's, or "
    "anywhere; from the eleventh trial on a Gaussian process (Optuna); each compared with the median at its epoch",
    "random": "values drawn at random, each trial compared with the median at its epoch",
    "hyperband": "random values, several successive halvings that begin with different numbers of epochs (Optuna)",
    "asha": "random values, asynchronous successive halving (Optuna)",
    "bohb": "hyperband with values from a tree-structured Parzen estimator (Optuna)",
    "hyperband_es": "hyperband, and trials that no longer improve end as well",
    "pbt": "a population that trains on; the worst copy the best and change its values",
    "llm": "a language model proposes (any OpenAI-compatible server); trials end early as with bayesian",
    "hybrid": "a language model and the Gaussian process propose in turn, each learning from the other's trials",
}
LANGUAGE_MODEL = ("llm", "hybrid")
TRIES_POINTS = ("bayesian", "hybrid")
MULTI_FIDELITY = ("hyperband", "asha", "bohb", "hyperband_es")
_SHORT = {"b": "bayesian", "h": "hyperband", "hes": "hyperband_es", "tpe": "bohb", "r": "random"}
_REFUSED = {
    "bfbo": ("brings no more than a Gaussian process with early stopping does", "bayesian"),
    "dehb": ("needs far more trials than fine-tuning can pay for, and no kept library of it is offered here", "bohb"),
    "autoresearch": ("lets a language model rewrite the program, which no run of a bank of skills may do", "bayesian"),
}


def algorithm_name(wanted: str) -> str:
    """Return the full name of an algorithm.

    Raises:
        UsageError: there is no such algorithm; the nearest is named.
        NotAvailableError: it is known, but refused, with the reason and the nearest that is offered.
    """
    name = _SHORT.get(wanted.strip().lower(), wanted.strip().lower())
    if name in ALGORITHMS:
        return name
    if name in _REFUSED:
        reason, nearest = _REFUSED[name]
        raise NotAvailableError(
            f"The algorithm {name} is not offered: it {reason}.",
            problems=[Problem("automl_algorithm", wanted, f"one of {', '.join(ALGORITHMS)}; the nearest is {nearest}")],
            next_step=f"--automl automl_algorithm={nearest}",
        )
    near = difflib.get_close_matches(name, [*ALGORITHMS, *_REFUSED], n=1, cutoff=0.5)
    hint = f"; the nearest is {near[0]}" if near else ""
    raise UsageError(
        f"There is no algorithm {wanted!r}.",
        problems=[Problem("automl_algorithm", wanted, f"one of {', '.join(ALGORITHMS)}{hint}")],
        next_step="--automl automl_algorithm=bayesian",
    )


def make_searcher(
    history: SearchHistory,
    space: SearchSpace,
    settings: AutoML,
    baseline: Mapping[str, Any],
    folder: Path,
    *,
    acceptable: Callable[[Mapping[str, Any]], Sequence[Problem]],
) -> Searcher:
    """Return the algorithm that the settings name, in the state that the history of trials leads to.

    ``baseline`` holds the present values of the searched parameters; ``acceptable`` returns what is wrong with values.

    Raises:
        NotAvailableError: a package is missing that the algorithm needs.
        SpecError: a language model is needed, and none is named.
    """
    name = algorithm_name(settings.automl_algorithm)
    if name == "pbt":
        from tao_skill.automl.population import PopulationSearcher

        return PopulationSearcher(history, space, settings, baseline, acceptable=acceptable)
    if (lacking := lack_of_packages(name, "local")) is not None:
        raise lacking
    from tao_skill.automl.optuna_searcher import OptunaSearcher

    optuna = OptunaSearcher(history, space, settings, baseline, folder=folder, acceptable=acceptable)
    if name not in LANGUAGE_MODEL:
        return optuna
    from tao_skill.automl.chat_settings import chat_settings
    from tao_skill.automl.llm_searcher import LanguageModelSearcher

    return LanguageModelSearcher(
        optuna, history, space, settings, chat_settings(settings), acceptable=acceptable
    )  # fmt: skip
