"""The first values of a search, before a model can learn from them: near what is known to work, and elsewhere.

Values drawn anywhere in a dozen ranges hardly ever beat values that somebody chose with care. PriorBand (Mallik et al.,
2023, https://arxiv.org/abs/2306.12370) draws in turn around those, around the best found so far, and anywhere, which
pays most where there is time for few trainings; so do these draws. As its draws around the best do, those near anything
leave about half of the parameters as they are: a dozen changes at once mostly undo each other.

Parameters of one name in several sections, such as the weight decay of a trunk and that of a head, move together: what
one of them needs the others mostly need as well, and a few trainings can't tell them apart.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from tao_skill.automl.history import SearchHistory
from tao_skill.automl.parameter import Parameter

__all__ = ["near", "starting_values"]

# Standard deviations, as shares of a range: around the baseline, and closer around the best so far.
_AROUND_BASELINE = 0.25
_AROUND_BEST = 0.15
_TURNS = ("baseline", "best", "baseline", "best", "anywhere")
# The chance of a name to move.
_MOVES = 0.5
# A choice that moves may come back to where it was.
_DRAWS = 100


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
        return near(parameters, baseline, chance, _AROUND_BASELINE)
    return near(parameters, best.values, chance)


def near(
    parameters: Sequence[Parameter], values: Mapping[str, Any], chance: random.Random, spread: float = _AROUND_BEST
) -> dict[str, Any]:
    """Return values near others, at least one of them another; ``spread`` is that of `Parameter.draw_near`."""
    for _ in range(_DRAWS):
        drawn = _moved(parameters, values, chance, spread)
        if any(drawn[one.key] != values.get(one.key) for one in parameters):
            break
    return drawn


def _moved(
    parameters: Sequence[Parameter], values: Mapping[str, Any], chance: random.Random, spread: float
) -> dict[str, Any]:
    names = sorted({_name(one) for one in parameters})
    moving = [name for name in names if chance.random() < _MOVES] or [chance.choice(names)]
    # All parameters of a name get the same numbers at random, and so move by the same share of their ranges.
    seeds = {name: chance.random() for name in moving}
    drawn = {}
    for one in parameters:
        value, name = values.get(one.key), _name(one)
        if name in seeds or one.encode(value) is None:
            value = one.draw_near(value, spread, random.Random(seeds.get(name, chance.random())))
        drawn[one.key] = value
    return drawn


def _name(parameter: Parameter) -> str:
    return parameter.key.rpartition(".")[2]
