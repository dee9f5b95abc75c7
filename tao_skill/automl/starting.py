"""The first values of a search, before a model can learn from them: other values for a few names at a time.

In turn, values begin from the baseline, from the best trial so far, or from nothing; PriorBand (Mallik et al., 2023,
https://arxiv.org/abs/2306.12370) does so too, which pays most where there is time for few trainings. From a beginning,
about half of the names move: a dozen changes at once mostly undo each other. What moves is drawn from its whole range,
as mutations are in regularised evolution (Real et al., arXiv:1802.01548): near a value that is wrong by powers of ten
there is nothing. From the best, half of what moves stays near, where the best values often are.

Parameters of one name in several sections, such as the weight decay of a trunk and that of a head, move together: what
one of them needs the others mostly need as well, and a few trainings can't tell them apart.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from tao_skill.automl.history import SearchHistory
from tao_skill.automl.parameter import Parameter

__all__ = ["GOES_ON_NEAR", "others", "starting_values"]

# The standard deviation of what stays near, as a share of a range.
_NEAR = 0.15
_TURNS = ("baseline", "baseline", "best", "anywhere", "best")
# The chance of a name to move; and of one that moves from the best, to stay near.
_MOVES = 0.5
_STAYS_NEAR = 0.5
# The same for what goes on from a checkpoint: a model that has learned something is undone by a far higher rate, and
# learns no more with a far lower one. As much is drawn anew in population-based training (Jaderberg et al.,
# arXiv:1711.09846, in Ray Tune's form).
GOES_ON_NEAR = 0.75
# A choice that moves may come back to where it was.
_DRAWS = 100


def starting_values(
    parameters: Sequence[Parameter],
    baseline: Mapping[str, Any],
    history: SearchHistory,
    number: int,
    chance: random.Random,
) -> dict[str, Any]:
    """Return the values of trial ``number``, from 1 on; what they begin from depends on its turn."""
    turn = _TURNS[(number - 1) % len(_TURNS)]
    if turn == "anywhere":
        return _moved(parameters, {}, chance, set(_names(parameters)), stays_near=0.0)
    best = history.best() if turn == "best" else None
    if best is None or best.number == 0:
        return others(parameters, baseline, chance, stays_near=0.0)
    return others(parameters, best.values, chance)


def others(
    parameters: Sequence[Parameter],
    values: Mapping[str, Any],
    chance: random.Random,
    *,
    stays_near: float = _STAYS_NEAR,
) -> dict[str, Any]:
    """Return other values for about half of the names, at least one of them.

    ``stays_near`` is the chance of each to be drawn near its value, and not from its whole range.
    """
    names = _names(parameters)
    for _ in range(_DRAWS):
        moving = {name for name in names if chance.random() < _MOVES} or {chance.choice(names)}
        drawn = _moved(parameters, values, chance, moving, stays_near)
        if any(drawn[one.key] != values.get(one.key) for one in parameters):
            break
    return drawn


def _moved(
    parameters: Sequence[Parameter], values: Mapping[str, Any], chance: random.Random, moving: set[str],
    stays_near: float,
) -> dict[str, Any]:  # fmt: skip
    # All parameters of a name get the same numbers at random, and so move by the same share of their ranges.
    seeds = {name: (chance.random(), chance.random() < stays_near) for name in sorted(moving)}
    drawn = {}
    for one in parameters:
        value = values.get(one.key)
        seed, is_near = seeds.get(_name(one), (chance.random(), False))
        if _name(one) in seeds or one.encode(value) is None:
            own = random.Random(seed)
            value = one.draw_near(value, _NEAR, own) if is_near else one.draw(own)
        drawn[one.key] = value
    return drawn


def _names(parameters: Sequence[Parameter]) -> list[str]:
    return sorted({_name(one) for one in parameters})


def _name(parameter: Parameter) -> str:
    return parameter.key.rpartition(".")[2]
