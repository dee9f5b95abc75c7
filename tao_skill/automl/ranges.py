"""The range of one searched parameter: the schema's, or the user's own inside it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal

from tao_skill.automl.options import has_options, options_for
from tao_skill.automl.own_range import UnusableError, outside, own_range, refusal, unsearchable
from tao_skill.automl.parameter import Parameter
from tao_skill.config.leaves import Leaf
from tao_skill.config.relations import fixed_factor, search_begins
from tao_skill.errors import Problem

__all__ = ["parameter_for"]

_WIDE = 1000.0
# What is chosen by its order of magnitude. Between 0 and 1, hardly any draw of such a rate would train at all.
_RATES = re.compile(r"(^|_)(lr|learning_rate|weight_decay|wd)(_|$)")
_AROUND = 100.0
_LEAST_SHARE = 1e-6
_Range = tuple[float | None, float | None]


def parameter_for(leaf: Leaf, flat: Mapping[str, Any], own: Any = None) -> Parameter:
    """Return how ``leaf`` is searched around ``flat``, in the user's range where there is one.

    Raises:
        UnusableError: it can't be searched, or the range lies outside the schema's.
    """
    given = own_range(leaf, own)
    if "valid_options" in given or has_options(leaf):
        return options_for(leaf, flat, given)
    if leaf.kind in ("number", "integer"):
        return _number(leaf, flat, given)
    raise UnusableError(Problem(leaf.key, "searched", unsearchable(leaf)))


def _number(leaf: Leaf, flat: Mapping[str, Any], given: Mapping[str, Any]) -> Parameter:
    usual, log = _usual_range(leaf, flat)
    problems = [
        Problem(f"{leaf.key}: {name}", given[name], expected)
        for name in ("valid_min", "valid_max")
        if name in given and (expected := refusal(leaf, given[name]))
    ]
    problems += [
        Problem(f"{leaf.key}: {name}", given[name], "valid_options, to which it belongs")
        for name in ("option_weights", "disable_list")
        if name in given
    ]
    if problems:
        raise UnusableError(*problems)
    low, high = _ends(leaf, usual, given)
    if low is None or high is None:
        raise UnusableError(
            Problem(leaf.key, "searched", "a range: the schema has no bounds, so give custom_param_ranges")
        )
    if not given and leaf.key in flat:
        low, high = _with_present(leaf, flat[leaf.key], low, high, log)
    low, high, step = _whole(leaf, low, high)
    if log is None:
        # A range over several powers of ten holds hardly anything of its lower end, unless it is drawn on a log scale.
        log = low > 0 and high / low >= _WIDE
    low = _opened(leaf, low, high)
    kind: Literal["integer", "number"] = "integer" if leaf.kind == "integer" else "number"
    return Parameter(
        leaf.key, kind, low=low, high=high, log=log and low > 0, step=step,
        default=flat.get(leaf.key), reason="your own range" if given else "range of the schema",
    )  # fmt: skip


def _usual_range(leaf: Leaf, flat: Mapping[str, Any]) -> tuple[_Range, bool | None]:
    """Return the range to search where the user says nothing, and whether on a log scale; None: the range decides."""
    search = leaf.facts.get("x_search")
    if search:
        low, high = search["low"], search["high"]
        limit = flat.get(search.get("high_key", ""))
        if isinstance(limit, int | float):
            high = min(high, limit * search.get("high_share", 1.0))
        if leaf.kind == "integer":
            low, high = math.ceil(low), max(math.floor(high), math.ceil(low) + 1)
        return (low, high), bool(search.get("log"))
    is_rate = leaf.kind == "number" and _RATES.search(leaf.key.rpartition(".")[2])
    # A schema that begins above 0 says itself which orders of magnitude there are.
    if is_rate and (leaf.minimum is None or leaf.minimum <= 0 or leaf.above == 0):
        return _magnitudes(leaf, flat), True
    return (_beginning(leaf), leaf.maximum), None


def _magnitudes(leaf: Leaf, flat: Mapping[str, Any]) -> _Range:
    """Return two powers of ten to either side of the usual value of a rate, inside the schema's bounds."""
    known = [one for one in (leaf.default, flat.get(leaf.key)) if isinstance(one, int | float) and one > 0]
    high = leaf.maximum
    if not known:
        return (None, None) if high is None else (high * _LEAST_SHARE, high)
    low = max(known[0] / _AROUND, leaf.minimum or 0.0)
    return low, known[0] * _AROUND if high is None else min(known[0] * _AROUND, high)


def _beginning(leaf: Leaf) -> float | None:
    """Return the smallest value to search, by the schema's bounds; of numbers, it may be one that is just outside."""
    sign, number = search_begins(leaf)
    bounds = [(leaf.minimum, False), (leaf.above, True), (number if sign else None, sign == ">")]
    known = [(one, is_outside) for one, is_outside in bounds if one is not None]
    if not known:
        return None
    low, is_outside = max(known)
    if leaf.kind == "integer":
        return math.floor(low) + 1 if is_outside else math.ceil(low)
    return low


def _opened(leaf: Leaf, low: float, high: float) -> float:
    """Return the smallest number to draw: a little more than a bound that does not belong to the schema's range."""
    is_outside = low == leaf.above or search_begins(leaf) == (">", low)
    if leaf.kind == "integer" or "x_search" in leaf.facts or not is_outside:
        return low
    return low + (high - low) * _LEAST_SHARE


def _ends(leaf: Leaf, usual: _Range, given: Mapping[str, Any]) -> _Range:
    """Return the ends that are given; for one that isn't, the usual one, or the schema's where that doesn't fit."""
    low, high = usual
    if "valid_max" in given and low is not None and low >= given["valid_max"]:
        low = leaf.minimum
    if "valid_min" in given and high is not None and high <= given["valid_min"]:
        high = leaf.maximum
    return given.get("valid_min", low), given.get("valid_max", high)


def _whole(leaf: Leaf, low: float, high: float) -> tuple[float, float, int]:
    """Return the ends of a range of whole numbers, or of multiples, with the step; other ranges as they are."""
    first, last, step = low, high, 1
    if leaf.kind == "integer":
        step = fixed_factor(leaf)
        first, last = math.ceil(low / step) * step, math.floor(high / step) * step
    if first >= last:
        expected = "a smallest value below the largest" + (f", with multiples of {step} between" if step > 1 else "")
        raise UnusableError(Problem(leaf.key, [low, high], expected))
    return first, last, step


def _with_present(leaf: Leaf, value: Any, low: float, high: float, log: bool | None) -> tuple[float, float]:
    """Widen the schema's range so that it holds the present value: the baseline is part of what is learned from."""
    if not isinstance(value, int | float) or isinstance(value, bool) or outside(leaf, value):
        return low, high
    if log and value <= 0:  # no log scale reaches that far
        return low, high
    return min(low, value), max(high, value)
