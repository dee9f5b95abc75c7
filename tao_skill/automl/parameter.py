"""One searched parameter, and the number that stands for its value while searching."""

from __future__ import annotations

import random
from dataclasses import dataclass
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
        return int(value) if self.kind == "integer" else float(value)

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
        share = chance.random()
        if self.log:
            return self.decode(round_if(self.kind, self.low * (self.high / self.low) ** share, self.step))
        return self.decode(round_if(self.kind, self.low + (self.high - self.low) * share, self.step))

    def _edges(self) -> list[float]:
        """Return where each choice's share of the interval from 0 to 1 begins, and the end."""
        weights = self.weights or (1.0,) * len(self.choices)
        total, edges = sum(weights), [0.0]
        for weight in weights:
            edges.append(edges[-1] + weight / total)
        return edges

    def document(self) -> dict[str, Any]:
        """Return what a report says of the parameter."""
        shown: dict[str, Any] = {"key": self.key, "kind": self.kind, "default": self.default, "reason": self.reason}
        if self.kind == "choice":
            return shown | {"choices": list(self.choices), "weights": list(self.weights) or None}
        return shown | {"low": self.low, "high": self.high, "log": self.log}


def round_if(kind: str, number: float, step: int) -> float:
    """Return the nearest multiple of ``step`` where the kind is integer, else the number."""
    return round(number / step) * step if kind == "integer" else number
