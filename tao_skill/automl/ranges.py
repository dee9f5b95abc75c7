"""The range of one searched parameter: the schema's, or the user's own inside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from tao_skill.automl.parameter import Parameter
from tao_skill.config.leaves import Leaf
from tao_skill.config.relations import fixed_factor
from tao_skill.errors import Problem

__all__ = ["UnusableError", "parameter_for"]

_OWN = ("valid_min", "valid_max", "valid_options", "option_weights", "disable_list")
# Without a range of its own, a multiple is searched up to so many times the base.
_LARGEST_MULTIPLE = 16
_WIDE = 1000.0
_WORDS: dict[str, tuple[Any, str]] = {
    "boolean": (bool, "true or false"),
    "integer": (int, "a whole number"),
    "number": ((int, float), "a number"),
    "string": (str, "a text"),
}


class UnusableError(Exception):
    """Carry everything that is wrong with one parameter's range."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems


def parameter_for(leaf: Leaf, flat: Mapping[str, Any], own: Any = None) -> Parameter:
    """Return how ``leaf`` is searched around ``flat``, in the user's range where there is one.

    Raises:
        UnusableError: it can't be searched, or the range lies outside the schema's.
    """
    given = _own_range(leaf, own)
    if "valid_options" in given or leaf.choices or leaf.kind == "boolean" or "x_multiple_of" in leaf.facts:
        return _choice(leaf, flat, given)
    if leaf.kind in ("number", "integer"):
        return _number(leaf, flat, given)
    raise UnusableError(Problem(leaf.key, "searched", f"a number, a flag or a choice; this one is a {leaf.kind}"))


def _own_range(leaf: Leaf, own: Any) -> dict[str, Any]:
    if own is None:
        return {}
    if not isinstance(own, Mapping):
        raise UnusableError(Problem(leaf.key, own, f"a mapping with some of {', '.join(_OWN)}"))
    unknown = [name for name in own if name not in _OWN]
    if unknown:
        raise UnusableError(
            *(Problem(f"{leaf.key}: {name}", own[name], f"one of {', '.join(_OWN)}") for name in unknown)
        )
    given = {name: value for name, value in own.items() if value not in (None, [], "")}
    if "x_multiple_of" in leaf.facts and ("valid_min" in given or "valid_max" in given):
        base = leaf.facts["x_multiple_of"]["key"]
        shown = {name: given[name] for name in ("valid_min", "valid_max") if name in given}
        raise UnusableError(
            Problem(leaf.key, shown, f"valid_options, explicit multiples of {base}: a range would hold other values")
        )
    return given


def _choice(leaf: Leaf, flat: Mapping[str, Any], given: Mapping[str, Any]) -> Parameter:
    schema_options = list(leaf.choices) or ([False, True] if leaf.kind == "boolean" else _multiples(leaf, flat))
    options = list(given.get("valid_options", schema_options))
    problems = [Problem(leaf.key, one, expected) for one in options if (expected := _refusal(leaf, flat, one))]
    weights = given.get("option_weights")
    if weights is None and "valid_options" not in given:
        weights = leaf.facts.get("option_weights")
    if weights is not None and not _fits(weights, options):
        problems.append(
            Problem(f"{leaf.key}: option_weights", weights, f"{len(options)} numbers from 0 on, not all of them 0")
        )
    if problems:
        raise UnusableError(*problems)
    shares = list(weights) if weights is not None else [1.0] * len(options)
    taken_away = given.get("disable_list", ())
    kept = [(one, share) for one, share in zip(options, shares, strict=True) if share > 0 and one not in taken_away]
    if not kept:
        raise UnusableError(Problem(leaf.key, options, "at least one option that is left"))
    return Parameter(
        leaf.key, "choice", choices=tuple(one for one, _ in kept),
        weights=tuple(share for _, share in kept) if weights is not None else (),
        default=flat.get(leaf.key), reason="your own options" if given else "choices of the schema",
    )  # fmt: skip


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


def _fits(weights: Any, options: list[Any]) -> bool:
    if not isinstance(weights, list | tuple) or len(weights) != len(options):
        return False
    return all(isinstance(one, int | float) and one >= 0 for one in weights) and sum(weights) > 0


def _refusal(leaf: Leaf, flat: Mapping[str, Any], value: Any) -> str:
    """Say what the schema expects in place of an option; empty where it is fine."""
    if leaf.choices:
        return "" if value in leaf.choices else f"one of {', '.join(map(str, leaf.choices))}"
    if leaf.kind not in _WORDS:
        return f"a number, a flag or a choice; this one is a {leaf.kind}"
    types, expected = _WORDS[leaf.kind]
    if not isinstance(value, types) or (isinstance(value, bool) and leaf.kind != "boolean"):
        return expected
    if leaf.kind not in ("integer", "number"):
        return ""
    relation = leaf.facts.get("x_multiple_of") or {}
    base = flat.get(relation.get("key", ""))
    if isinstance(base, int) and base > 0 and value % base:
        return f"a multiple of {relation['key']} = {base}"
    return _outside(leaf, value)


def _outside(leaf: Leaf, value: float) -> str:
    low = leaf.minimum if leaf.minimum is not None else -math.inf
    high = leaf.maximum if leaf.maximum is not None else math.inf
    too_low = value < low or (leaf.above is not None and value <= leaf.above)
    return f"inside the schema's bounds: {leaf.bounds}" if too_low or value > high else ""


def _number(leaf: Leaf, flat: Mapping[str, Any], given: Mapping[str, Any]) -> Parameter:
    low, high, log = _schema_range(leaf, flat)
    problems = [
        Problem(f"{leaf.key}: {name}", given[name], expected)
        for name in ("valid_min", "valid_max")
        if name in given and (expected := _refusal(leaf, flat, given[name]))
    ]
    problems += [
        Problem(f"{leaf.key}: {name}", given[name], "valid_options, to which it belongs")
        for name in ("option_weights", "disable_list")
        if name in given
    ]
    if problems:
        raise UnusableError(*problems)
    low, high = given.get("valid_min", low), given.get("valid_max", high)
    if low is None or high is None:
        raise UnusableError(
            Problem(leaf.key, "searched", "a range: the schema has no bounds, so give custom_param_ranges")
        )
    if low >= high:
        raise UnusableError(Problem(leaf.key, [low, high], "a smallest value below the largest"))
    if not given and leaf.key in flat:
        low, high = _with_present(leaf, flat[leaf.key], low, high)
    log = bool(log and low > 0)
    kind: Literal["integer", "number"] = "integer" if leaf.kind == "integer" else "number"
    return Parameter(
        leaf.key, kind, low=low, high=high, log=log, step=fixed_factor(leaf) if kind == "integer" else 1,
        default=flat.get(leaf.key), reason="your own range" if given else "range of the schema",
    )  # fmt: skip


def _schema_range(leaf: Leaf, flat: Mapping[str, Any]) -> tuple[float | None, float | None, bool]:
    search = leaf.facts.get("x_search")
    if search:
        low, high = search["low"], search["high"]
        limit = flat.get(search.get("high_key", ""))
        if isinstance(limit, int | float):
            high = min(high, limit * search.get("high_share", 1.0))
        if leaf.kind == "integer":
            low, high = math.ceil(low), max(math.floor(high), math.ceil(low) + 1)
        return low, high, bool(search.get("log"))
    low = _finite(leaf.minimum)
    high = _finite(leaf.maximum)
    # A range over several powers of ten holds hardly anything of its lower end, unless it is drawn on a log scale.
    wide = low is not None and high is not None and low > 0 and high / low >= _WIDE
    return low, high, wide


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _with_present(leaf: Leaf, value: Any, low: float, high: float) -> tuple[float, float]:
    """Widen the schema's range so that it holds the present value: the baseline is part of what is learned from."""
    if not isinstance(value, int | float) or isinstance(value, bool) or _outside(leaf, value):
        return low, high
    return min(low, value), max(high, value)
