"""Pairs of measurements, and the table that they make."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

__all__ = ["Row", "markdown", "pairs"]


@dataclass
class Row:
    """One comparison: what each side gave in each round, and the ratio that is wanted.

    The ratio is ours / theirs where more is better, as of images per second, and so it is where less is; then
    ``at_most`` is True. ``theirs`` is empty where a figure stands against a budget.
    """

    what: str
    unit: str
    target: float
    at_most: bool = False
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Return ours / theirs of each round, or ours alone where there is nothing to compare with."""
        if not self.theirs:
            return self.ours
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        """Return the median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def reached(self) -> bool:
        """Tell whether the target is reached."""
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target


def pairs(rounds: int, ours: Callable[[], None], theirs: Callable[[], None]) -> None:
    """Let both sides measure in turn, so that what else the machine does hits both alike; who begins alternates."""
    for number in range(rounds):
        for side in (ours, theirs) if number % 2 == 0 else (theirs, ours):
            side()


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a table: medians, the ratio's median and range, the target."""
    lines = ["| what | this project | reference | ratio (range) | target | |", "|---|---|---|---|---|---|"]
    for row in rows:
        theirs = _number(statistics.median(row.theirs)) if row.theirs else ""
        spread = f"{_number(min(row.ratios))} to {_number(max(row.ratios))}"
        target = f"{'≤' if row.at_most else '≥'} {_number(row.target)}"
        ours = f"{_number(statistics.median(row.ours))} {row.unit}"
        ratio = f"**{_number(row.ratio)}** ({spread})" if row.theirs else spread
        lines.append(f"| {row.what} | {ours} | {theirs} | {ratio} | {target} | {'yes' if row.reached else 'no'} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
