"""Values that did well elsewhere, which a search tries first: what the schema recommends, or the user.

A good list of defaults, of which each does well where the others don't, beats a search from nothing where there is
time for few trainings (Pfisterer et al., Learning multiple defaults for machine learning algorithms, GECCO 2021).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tao_skill.automl.own_range import UnusableError
from tao_skill.automl.parameter import Parameter
from tao_skill.errors import Problem

__all__ = ["starting_points"]

_KEYWORD = "automl_starting_points"


def starting_points(
    schema: Mapping[str, Any],
    parameters: Mapping[str, Parameter],
    own: Sequence[Mapping[str, Any]] | None,
    *,
    unknown: Collection[str] = (),
) -> tuple[dict[str, Any], ...]:
    """Return the points, each with the values of the searched parameters that it names, by dotted key.

    ``own`` are the user's, in place of the schema's; None: there are none. Of the schema's, what isn't searched here
    is left out, and what the range doesn't hold. ``unknown`` names parameters whose range is not known, for a mistake
    that is told elsewhere.

    Raises:
        UnusableError: own points name what isn't searched, or values that the ranges don't hold; all of them.
    """
    if own is not None:
        problems = [
            problem
            for number, point in enumerate(own)
            for problem in _problems(number, point, parameters)
            if problem.key.rpartition(": ")[2] not in unknown
        ]
        if problems:
            raise UnusableError(*problems)
        return tuple(_taken(point, parameters) for point in own)
    listed = schema.get(_KEYWORD)
    points = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    return tuple(filter(None, (_taken(one, parameters) for one in points)))


def _problems(number: int, point: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> list[Problem]:
    where = f"{_KEYWORD}[{number}]"
    if not point:
        return [Problem(where, {}, "at least one value, by the key of its parameter")]
    found = []
    for key, value in point.items():
        if key not in parameters:
            found.append(Problem(f"{where}: {key}", value, f"a parameter that is searched: {', '.join(parameters)}"))
        elif not _holds(parameters, key, value):
            found.append(Problem(f"{where}: {key}", value, parameters[key].allowed()))
    return found


def _taken(point: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """Return what of a point can be searched, in the parameters' own types: 4 for a whole number that is 4.0."""
    numbers = {key: parameters[key].encode(value) for key, value in point.items() if key in parameters}
    return {key: parameters[key].decode(number) for key, number in numbers.items() if number is not None}


def _holds(parameters: Mapping[str, Parameter], key: str, value: Any) -> bool:
    return key in parameters and parameters[key].encode(value) is not None
