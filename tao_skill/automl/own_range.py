"""What a user says of one parameter's range, and what the schema says to that."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tao_skill.config.automl import RANGE_PARTS
from tao_skill.config.leaves import Leaf
from tao_skill.errors import Problem

__all__ = ["UnusableError", "outside", "own_range", "refusal", "unsearchable"]

_ENDS = ("valid_min", "valid_max")
_LISTS = tuple(part for part in RANGE_PARTS if part not in _ENDS)
_WORDS: dict[str, tuple[Any, str]] = {
    "boolean": (bool, "true or false"),
    "integer": (int, "a whole number"),
    "number": ((int, float), "a number"),
    "string": (str, "a text"),
}
_KINDS = {"string": "a text", "array": "a list", "object": "a section"}


class UnusableError(Exception):
    """Carry everything that is wrong with one parameter's range."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems


def own_range(leaf: Leaf, own: Any) -> dict[str, Any]:
    """Return the parts of a range that a user gave for ``leaf``, none where ``own`` is None; values are not looked at.

    Raises:
        UnusableError: it is no mapping, or has parts that there aren't or that don't belong together.
    """
    if own is None:
        return {}
    if not isinstance(own, Mapping):
        raise UnusableError(Problem(leaf.key, own, f"a mapping with some of {', '.join(RANGE_PARTS)}"))
    given = {name: value for name, value in own.items() if value not in (None, [], "")}
    problems = [
        Problem(f"{leaf.key}: {name}", own[name], f"one of {', '.join(RANGE_PARTS)}")
        for name in own
        if name not in RANGE_PARTS
    ]
    problems += [
        Problem(f"{leaf.key}: {name}", given[name], "a list")
        for name in _LISTS
        if name in given and not isinstance(given[name], list | tuple)
    ]
    ends = {name: given[name] for name in _ENDS if name in given}
    if ends and (expected := _instead_of_ends(leaf, given)):
        problems.append(Problem(leaf.key, ends, expected))
    if problems:
        raise UnusableError(*problems)
    return given


def _instead_of_ends(leaf: Leaf, given: Mapping[str, Any]) -> str:
    """Say what belongs in place of a smallest and a largest value; empty where those do."""
    if "x_multiple_of" in leaf.facts:
        base = leaf.facts["x_multiple_of"]["key"]
        return f"valid_options, explicit multiples of {base}: a range would hold other values"
    if leaf.choices or leaf.kind == "boolean":
        return f"valid_options, some of {leaf.bounds or 'true, false'}: this one has no range"
    return "valid_options, or valid_min and valid_max, not both" if "valid_options" in given else ""


def unsearchable(leaf: Leaf) -> str:
    """Say what a leaf would have to be for a search to take it."""
    return f"a number, a flag or a choice; this one is {_KINDS.get(leaf.kind, f'of type {leaf.kind}')}"


def refusal(leaf: Leaf, value: Any) -> str:
    """Say what the schema expects in place of a value; empty where it is fine."""
    if leaf.choices:
        return "" if value in leaf.choices else f"one of {', '.join(map(str, leaf.choices))}"
    if leaf.kind not in _WORDS:
        return unsearchable(leaf)
    types, expected = _WORDS[leaf.kind]
    if not isinstance(value, types) or (isinstance(value, bool) and leaf.kind != "boolean"):
        return expected
    if leaf.kind not in ("integer", "number"):
        return ""
    return outside(leaf, value) if math.isfinite(value) else "a finite number"


def outside(leaf: Leaf, value: float) -> str:
    """Say which bounds of the schema a number lies outside of; empty where it lies inside."""
    low = leaf.minimum if leaf.minimum is not None else -math.inf
    high = leaf.maximum if leaf.maximum is not None else math.inf
    too_low = value < low or (leaf.above is not None and value <= leaf.above)
    return f"inside the schema's bounds: {leaf.bounds}" if too_low or value > high else ""
