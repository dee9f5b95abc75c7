"""One searched parameter, and the number that stands for its value while searching."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import Any, Literal

__all__ = ["Parameter"]


@dataclass(frozen=True)
class Parameter:
    """One searched parameter; numbers lie between ``low`` and ``high``, choices are drawn by their weights."""

    key: str
    kind: Literal["number", "integer", "choice"]
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    step: int = 1
    choices: tuple[Any, ...] = ()
    weights: tuple[float, ...] = ()
    default: Any = None
    reason: str = ""
    kept_on_resume: bool = False

    def pinned(self, value: Any) -> Parameter:
        """Return the same parameter with nothing to choose from but a value."""
        return replace(self, kind="choice", choices=(value,), weights=())

    def encode(self, value: Any) -> float | int | None:
        """Return the number that stands for a value while searching; None where the range doesn't hold it."""
        if self.kind == "choice":
            if value not in self.choices:
                return None
            place = self.choices.index(value)
            edges = self._edges()
            return (edges[place] + edges[place + 1]) / 2
        if not isinstance(value, int | float) or isinstance(value, bool) or not self.low <= value <= self.high:
            return None
        if self.kind == "integer":
            return None if value % self.step else int(value)
        return float(value)

    def decode(self, number: float) -> Any:
        """Return the value that a number stands for."""
        if self.kind == "integer":
            return int(number)
        if self.kind == "number":
            return float(number)
        edges = self._edges()
        return next((one for one, end in zip(self.choices, edges[1:], strict=True) if number < end), self.choices[-1])

    def draw(self, chance: random.Random) -> Any:
        """Return a value at random, on the parameter's own scale."""
        return self._at(chance.random())

    def draw_near(self, value: Any, spread: float, chance: random.Random) -> Any:
        """Return a value near another: normally distributed on the parameter's own scale, and inside the range.

        ``spread`` is the standard deviation, as a share of the range. A choice has no neighbours: half the draws keep
        it. Where the range doesn't hold the value, all of the range is as near.
        """
        number = self.encode(value)
        if number is None:
            return self.draw(chance)
        if self.kind == "choice":
            return value if chance.random() < 0.5 else self.draw(chance)
        place = self._place(number)
        while not 0.0 <= (share := chance.gauss(place, spread)) <= 1.0:
            continue
        return self._at(share)

    def _at(self, share: float) -> Any:
        """Return the value at a share of the range, from 0 to 1."""
        number = self.low + (self.high - self.low) * share
        if self.log:
            number = self.low * (self.high / self.low) ** share
        return self.decode(round_if(self.kind, min(max(number, self.low), self.high), self.step))

    def _place(self, number: float) -> float:
        """Return at which share of the range a number lies."""
        if self.log:
            return math.log(number / self.low) / math.log(self.high / self.low)
        return (number - self.low) / (self.high - self.low)

    def _edges(self) -> list[float]:
        """Return where each choice's share of the interval from 0 to 1 begins, and the end."""
        weights = self.weights or (1.0,) * len(self.choices)
        total, edges = sum(weights), [0.0]
        for weight in weights:
            edges.append(edges[-1] + weight / total)
        return edges

    def allowed(self) -> str:
        """Return in words which values the range holds."""
        if self.kind == "choice":
            return f"one of {', '.join(map(repr, self.choices))}"
        kind = "a number" if self.kind == "number" else "a whole number"
        return f"{f'a multiple of {self.step}' if self.step > 1 else kind} from {self.low:g} to {self.high:g}"

    def document(self) -> dict[str, Any]:
        """Return what a report says of the parameter."""
        shown: dict[str, Any] = {"key": self.key, "kind": self.kind, "default": self.default, "reason": self.reason}
        if self.kind == "choice":
            return shown | {"choices": list(self.choices), "weights": list(self.weights) or None}
        return shown | {"low": self.low, "high": self.high, "log": self.log}


def round_if(kind: str, number: float, step: int) -> float:
    """Return the nearest multiple of ``step`` where the kind is integer, else the number."""
    return round(number / step) * step if kind == "integer" else number
