"""What binds several parameters together, as a schema says it of any model: read here for checks and searches alike.

Facts of a leaf: ``x_multiple_of`` {"key"}, ``x_effect_if`` [{"key", "in" or "first_below", "reason"}], and those of
other schemas: ``math_cond`` "/ 32" (a multiple), "^ 2" (a power) or "> 0" (where a search begins; what a user may set,
the bounds say), ``depends_on`` "<= other.key", or "other.key" beside ``math_cond`` "<= depends_on".
"""

import math
import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from tao_skill.config.leaves import Leaf
from tao_skill.errors import Problem

__all__ = ["fixed_factor", "fixed_power", "powers", "relation_problems", "search_begins", "without_effect"]

_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_NOTHING: Mapping[str, Collection[Any]] = MappingProxyType({})


def relation_problems(leaves: Iterable[Leaf], flat: Mapping[str, Any]) -> list[Problem]:
    """Return what breaks the relations that a schema's leaves state; ``flat`` holds all values by dotted key."""
    return [problem for leaf in leaves if _is_number(flat.get(leaf.key)) for problem in _broken(leaf, flat)]


def without_effect(
    leaves: Iterable[Leaf], flat: Mapping[str, Any], searched: Mapping[str, Collection[Any]] = _NOTHING
) -> dict[str, str]:
    """Return the leaves that do nothing while the others hold these values, each with the reason.

    ``searched`` names those that don't stay as they are, each with the values that it may take; none: any.
    """
    idle = {}
    for leaf in leaves:
        for condition in leaf.facts.get("x_effect_if", ()):
            if not _may_hold(condition, flat, searched):
                held = flat.get(condition["key"])
                default = f"{condition['key']} is {held}"
                idle[leaf.key] = str(condition.get("reason", default)).replace("{value}", str(held))
                break
    return idle


def fixed_factor(leaf: Leaf) -> int:
    """Return the whole number that a leaf is a multiple of by its ``math_cond``; 1 where it says none."""
    return max(_whole_number(leaf, "/"), 1)


def fixed_power(leaf: Leaf) -> int:
    """Return the whole number that a leaf is a power of by its ``math_cond``; 1 where it says none."""
    return max(_whole_number(leaf, "^"), 1)


def powers(base: int, low: float, high: float) -> list[int]:
    """Return the powers of ``base``, from 1 on, that lie between two finite numbers or on them."""
    found = [1]
    while found[-1] * base <= high:
        found.append(found[-1] * base)
    return [one for one in found if low <= one <= high]


def search_begins(leaf: Leaf) -> tuple[str, float]:
    """Return the sign, > or >=, and the number that a leaf's ``math_cond`` says; an empty sign where it says none."""
    sign, number = _condition(leaf)
    try:
        return (sign, float(number)) if sign in (">", ">=") else ("", 0.0)
    except ValueError:  # "> depends_on"
        return "", 0.0


def _whole_number(leaf: Leaf, wanted: str) -> int:
    sign, number = _condition(leaf)
    return int(number) if sign == wanted and number.isdigit() else 1


def _condition(leaf: Leaf) -> tuple[str, str]:
    words = str(leaf.facts.get("math_cond", "")).split()
    return (words[0], words[1]) if len(words) == 2 else ("", "")


def _broken(leaf: Leaf, flat: Mapping[str, Any]) -> Iterator[Problem]:
    value = flat[leaf.key]
    relation = leaf.facts.get("x_multiple_of")
    base = flat.get(relation["key"]) if relation else None
    if relation and isinstance(base, int) and base > 0 and value % base:
        near = sorted({max(1, int(value) // base) * base, (int(value) // base + 1) * base})
        expected = f"a multiple of {relation['key']} = {base}, such as {' or '.join(map(str, near))}"
        yield Problem(leaf.key, value, expected)
    if fixed_factor(leaf) > 1 and value % fixed_factor(leaf):
        yield Problem(leaf.key, value, f"a multiple of {fixed_factor(leaf)}")
    if fixed_power(leaf) > 1 and not _is_power(value, fixed_power(leaf)):
        yield Problem(leaf.key, value, f"a power of {fixed_power(leaf)}")
    sign, other = _compared(leaf)
    if sign and _is_number(flat.get(other)) and not _COMPARED[sign](value, flat[other]):
        yield Problem(leaf.key, value, f"{sign} {other}, which is {flat[other]}")


def _is_power(value: float, base: int) -> bool:
    return value >= 1 and math.isfinite(value) and bool(base ** round(math.log(value, base)) == value)


def _compared(leaf: Leaf) -> tuple[str, str]:
    """Return how a leaf compares with another, and with which; an empty sign where it doesn't."""
    sign, _, other = str(leaf.facts.get("depends_on", "")).partition(" ")
    if sign in _COMPARED:
        return sign, other.strip()
    said, beside = _condition(leaf)
    return (said, sign) if said in _COMPARED and beside == "depends_on" and not other else ("", "")


def _may_hold(condition: Mapping[str, Any], flat: Mapping[str, Any], searched: Mapping[str, Collection[Any]]) -> bool:
    key = condition["key"]
    if key not in searched and condition.get("first_below") not in searched:
        return _holds(condition, flat)
    values = searched.get(key)
    return "first_below" in condition or not values or any(_holds(condition, {key: one}) for one in values)


def _holds(condition: Mapping[str, Any], flat: Mapping[str, Any]) -> bool:
    value = flat.get(condition["key"])
    if "first_below" in condition:
        limit = flat.get(condition["first_below"])
        return bool(isinstance(value, list) and value and _is_number(limit) and value[0] < limit)
    return value in condition.get("in", ())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
