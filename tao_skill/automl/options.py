"""The options of one searched parameter that has no range: choices, flags, multiples and powers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tao_skill.automl.own_range import UnusableError, refusal
from tao_skill.automl.parameter import Parameter
from tao_skill.config.leaves import Leaf
from tao_skill.config.relations import fixed_power, powers, relation_problems
from tao_skill.errors import Problem

__all__ = ["has_options", "options_for"]

# Without options of its own, a multiple is searched up to so many times the base.
_LARGEST_MULTIPLE = 16


def has_options(leaf: Leaf) -> bool:
    """Say whether a leaf is drawn from a list and not from a range."""
    return bool(leaf.choices or leaf.kind == "boolean" or "x_multiple_of" in leaf.facts or fixed_power(leaf) > 1)


def options_for(leaf: Leaf, flat: Mapping[str, Any], given: Mapping[str, Any]) -> Parameter:
    """Return how a leaf is searched around ``flat``: among the options ``given``, else among those of its kind.

    Raises:
        UnusableError: an option that the schema or a relation refuses, or none that is left.
    """
    options = list(given["valid_options"]) if "valid_options" in given else _usual_options(leaf, flat, given)
    problems = [Problem(leaf.key, one, expected) for one in options if (expected := _refused(leaf, flat, one))]
    weights = given.get("option_weights")
    if weights is None and "valid_options" not in given:
        weights = leaf.facts.get("option_weights")
    if weights is not None and not _fits(weights, options):
        problems.append(
            Problem(f"{leaf.key}: option_weights", weights, f"{len(options)} numbers from 0 on, not all of them 0")
        )
    taken_away = given.get("disable_list", ())
    problems += [
        Problem(f"{leaf.key}: disable_list", one, f"some of {', '.join(map(str, options))}")
        for one in taken_away
        if one not in options
    ]
    if problems:
        raise UnusableError(*problems)
    shares = list(weights) if weights is not None else [1.0] * len(options)
    kept = [(one, share) for one, share in zip(options, shares, strict=True) if share > 0 and one not in taken_away]
    if not kept:
        raise UnusableError(Problem(leaf.key, options, "at least one option that is left"))
    return Parameter(
        leaf.key, "choice", choices=tuple(one for one, _ in kept),
        weights=tuple(share for _, share in kept) if weights is not None else (),
        default=flat.get(leaf.key), reason="your own options" if given else "choices of the schema",
    )  # fmt: skip


def _usual_options(leaf: Leaf, flat: Mapping[str, Any], given: Mapping[str, Any]) -> list[Any]:
    if leaf.choices:
        return list(leaf.choices)
    if leaf.kind == "boolean":
        return [False, True]
    return _multiples(leaf, flat) if "x_multiple_of" in leaf.facts else _powers(leaf, given)


def _multiples(leaf: Leaf, flat: Mapping[str, Any]) -> list[int]:
    """Return the multiples around the present value by doubling: 2, 4, 8 … times the base."""
    relation = leaf.facts["x_multiple_of"]
    base = flat.get(relation["key"])
    if not isinstance(base, int) or base < 1:
        raise UnusableError(
            Problem(leaf.key, "searched", f"a whole number in {relation['key']}, of which it is a multiple")
        )
    least = int(relation.get("search_at_least", 1))
    times, found = least, []
    while times <= _LARGEST_MULTIPLE:
        found.append(times * base)
        times *= 2
    own = flat.get(leaf.key)
    return sorted({*found, *([own] if isinstance(own, int) and own >= least * base else [])})


def _powers(leaf: Leaf, given: Mapping[str, Any]) -> list[int]:
    """Return the powers inside the schema's bounds and the ends that are given."""
    problems = [
        Problem(f"{leaf.key}: {name}", given[name], expected)
        for name in ("valid_min", "valid_max")
        if name in given and (expected := refusal(leaf, given[name]))
    ]
    high = given.get("valid_max", leaf.maximum)
    if high is None:
        problems.append(Problem(leaf.key, "searched", "a largest value: the schema has none, so give valid_max"))
    if problems:
        raise UnusableError(*problems)
    low = given.get("valid_min", leaf.minimum)
    return [one for one in powers(fixed_power(leaf), 1 if low is None else low, high) if not refusal(leaf, one)]


def _refused(leaf: Leaf, flat: Mapping[str, Any], option: Any) -> str:
    """Say what is expected in place of an option; empty where it is fine."""
    if expected := refusal(leaf, option):
        return expected
    relation = leaf.facts.get("x_multiple_of") or {}
    key, base = relation.get("key", ""), flat.get(relation.get("key", ""))
    if broken := relation_problems([leaf], {key: base, leaf.key: option}):
        return broken[0].expected
    least = int(relation.get("search_at_least", 1))
    if isinstance(base, int) and option < least * base:
        return f"{least * base} at least: {least} times {key} = {base}"
    return ""


def _fits(weights: Any, options: list[Any]) -> bool:
    if len(weights) != len(options):
        return False
    return all(isinstance(one, int | float) and 0 <= one < math.inf for one in weights) and sum(weights) > 0
