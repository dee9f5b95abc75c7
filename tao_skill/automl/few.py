"""Spaces that hold few configurations: what is left of them to try."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from tao_skill.automl.parameter import Parameter
from tao_skill.errors import Problem

__all__ = ["untried"]

# More than that are never used up, and would take long to look through.
_MOST = 4096


def untried(
    parameters: Sequence[Parameter],
    tried: Collection[Mapping[str, Any]],
    acceptable: Callable[[Mapping[str, Any]], Sequence[Problem]],
) -> Iterator[dict[str, Any]] | None:
    """Return the configurations that obey the rules and are not among those tried; None: there are too many to tell.

    ``acceptable`` returns what is wrong with values.
    """
    values = [_values(one) for one in parameters]
    known = [one for one in values if one is not None]
    if len(known) < len(values) or math.prod(map(len, known)) > _MOST:
        return None
    keys = [one.key for one in parameters]
    every = (dict(zip(keys, chosen, strict=True)) for chosen in product(*known))
    return (one for one in every if one not in tried and not acceptable(one))


def _values(parameter: Parameter) -> Sequence[Any] | None:
    """Return all values of a parameter; None where they are endless."""
    if parameter.kind == "integer":
        return range(int(parameter.low), int(parameter.high) + 1, parameter.step)
    return parameter.choices if parameter.kind == "choice" else None
