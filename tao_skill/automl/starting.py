"""The first values of a search, before a model can learn from them: near what is known to work, and elsewhere.

Values drawn anywhere in a dozen ranges hardly ever beat values that somebody chose with care. PriorBand (Mallik et al.,
2023, https://arxiv.org/abs/2306.12370) draws in turn around those, around the best found so far, and anywhere, which
pays most where there is time for few trainings; so do these draws.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from tao_skill.automl.history import SearchHistory
from tao_skill.automl.parameter import Parameter

__all__ = ["starting_values"]

# Standard deviations, as shares of a range: around the baseline, and closer around the best so far.
_AROUND_BASELINE = 0.25
_AROUND_BEST = 0.15
_TURNS = ("baseline", "best", "baseline", "best", "anywhere")


def starting_values(
    parameters: Sequence[Parameter],
    baseline: Mapping[str, Any],
    history: SearchHistory,
    number: int,
    chance: random.Random,
) -> dict[str, Any]:
    """Return the values of trial ``number``, from 1 on; which values they are drawn around depends on its turn."""
    turn = _TURNS[(number - 1) % len(_TURNS)]
    if turn == "anywhere":
        return {one.key: one.draw(chance) for one in parameters}
    best = history.best() if turn == "best" else None
    if best is None:
        return {one.key: one.draw_near(baseline.get(one.key), _AROUND_BASELINE, chance) for one in parameters}
    return {one.key: one.draw_near(best.values.get(one.key), _AROUND_BEST, chance) for one in parameters}
