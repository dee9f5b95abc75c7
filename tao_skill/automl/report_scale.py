"""From values to places in a drawing, and the values that are written beside an axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Axis", "axis_of", "endings_of", "nice_range", "short"]

_DIGITS = 4


@dataclass(frozen=True)
class Axis:
    """Places from 0 (low) to 1 (high); on a scale of numbers, or of choices side by side."""

    low: float = 0.0
    high: float = 1.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    def place(self, value: Any) -> float | None:
        """Return where a value lies; None for what isn't on the axis."""
        if self.choices:
            same = [place for place, one in enumerate(self.choices) if one == value and type(one) is type(value)]
            return (same[0] + 0.5) / len(self.choices) if same else None
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            return None
        if self.log:
            if value <= 0:
                return None
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        # The baseline may lie outside of a user's own range: it is drawn at the edge.
        return min(max(share, 0.0), 1.0)

    def ticks(self) -> list[tuple[float, str]]:
        """Return a few places with what is written there."""
        if self.choices:
            count = len(self.choices)
            return [((place + 0.5) / count, str(one)) for place, one in enumerate(self.choices)]
        digits = _DIGITS
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            values = [10.0**power for power in range(first, last + 1, max(1, (last - first) // 4))]
            values = values if len(values) > 1 else [self.low, self.high]
        else:
            step = _step(self.high - self.low)
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            values = [count * step for count in range(first, last + 1)]
            # So many that two neighbours never read alike.
            largest = max(abs(self.low), abs(self.high))
            digits = max(_DIGITS, math.floor(math.log10(largest)) - math.floor(math.log10(step)) + 1)
        return [(place, f"{value:.{digits}g}") for value in values if (place := self.place(value)) is not None]


def axis_of(parameter: Mapping[str, Any]) -> Axis:
    """Return the axis of a searched parameter, as a history tells it."""
    if parameter["kind"] == "choice":
        return Axis(choices=tuple(parameter["choices"]))
    low, high = float(parameter["low"]), float(parameter["high"])
    return Axis(low, high if high > low else low + 1.0, bool(parameter["log"]) and low > 0)


def nice_range(values: Iterable[float]) -> Axis:
    """Return an axis that holds all values, with a little room."""
    held = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(held), max(held)
    room = (high - low) * 0.08 or abs(high) * 0.05 or 0.5
    return Axis(low - room, high + room)


def short(value: Any) -> str:
    """Return a number in at most four significant digits, anything else as it is."""
    if isinstance(value, float):
        return f"{value:.{_DIGITS}g}" if math.isfinite(value) else "none"
    return str(value)


def endings_of(keys: Sequence[str]) -> dict[str, str]:
    """Return the shortest ending of each dotted key that no other one has."""
    return {key: _ending(key, [one for one in keys if one != key]) for key in keys}


def _ending(key: str, others: Sequence[str]) -> str:
    steps = key.split(".")
    for count in range(1, len(steps)):
        ending = ".".join(steps[-count:])
        if not any(one == ending or one.endswith(f".{ending}") for one in others):
            return ending
    return key


def _step(span: float) -> float:
    rough = span / 5
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
