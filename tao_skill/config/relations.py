"""What binds several parameters together, as a schema says it of any model: read here for checks and searches alike.

Facts of a leaf: ``x_multiple_of`` {"key"}, ``x_effect_if`` [{"key", "in" or "first_below", "reason"}], and those of
other schemas, ``math_cond`` "/ 32" (a multiple) or "^ 2" (a power), ``depends_on`` "<= other.key".
"""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tao_skill.config.leaves import Leaf
from tao_skill.errors import Problem

__all__ = ["fixed_factor", "relation_problems", "without_effect"]

_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


def relation_problems(leaves: Iterable[Leaf], flat: Mapping[str, Any]) -> list[Problem]:
    """Return what breaks the relations that a schema's leaves state; ``flat`` holds all values by dotted key."""
    return [problem for leaf in leaves if _is_number(flat.get(leaf.key)) for problem in _broken(leaf, flat)]


def without_effect(leaves: Iterable[Leaf], flat: Mapping[str, Any]) -> dict[str, str]:
    """Return the leaves that do nothing while the others hold these values, each with the reason."""
    idle = {}
    for leaf in leaves:
        for condition in leaf.facts.get("x_effect_if", ()):
            if not _holds(condition, flat):
                held = flat.get(condition["key"])
                default = f"{condition['key']} is {held}"
                idle[leaf.key] = str(condition.get("reason", default)).replace("{value}", str(held))
                break
    return idle


def fixed_factor(leaf: Leaf) -> int:
    """Return the whole number that a leaf is a multiple of by its ``math_cond``; 1 where it says none."""
    words = str(leaf.facts.get("math_cond", "")).split()
    if len(words) == 2 and words[0] == "/" and words[1].isdigit():
        return max(int(words[1]), 1)
    return 1


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
    sign, _, other = str(leaf.facts.get("depends_on", "")).partition(" ")
    if sign in _COMPARED and _is_number(flat.get(other.strip())) and not _COMPARED[sign](value, flat[other.strip()]):
        yield Problem(leaf.key, value, f"{sign} {other.strip()}, which is {flat[other.strip()]}")


def _holds(condition: Mapping[str, Any], flat: Mapping[str, Any]) -> bool:
    value = flat.get(condition["key"])
    if "first_below" in condition:
        limit = flat.get(condition["first_below"])
        return bool(isinstance(value, list) and value and _is_number(limit) and value[0] < limit)
    return value in condition.get("in", ())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
