"""The seam between a search and its algorithm: ask for values, report how they do, tell how they ended.

Whatever proposes values implements `Searcher`, and passes tests/automl/test_searchers.py, the same for all of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from tao_skill.automl.history import Trial

__all__ = ["Ended", "Recommendation", "Searcher", "ask_patiently"]

Ended = Literal["complete", "stopped", "failed"]


@dataclass(frozen=True)
class Recommendation:
    """Values to try, by dotted key, and how many epochs to train with them in all.

    ``continues`` names the trial from whose checkpoint the training goes on. Trials are numbered from 0, the baseline.
    """

    number: int
    values: dict[str, Any]
    epochs: int
    origin: str = "search"
    continues: int | None = None
    note: dict[str, Any] = field(default_factory=dict)


class Searcher(Protocol):
    """An algorithm; it holds no state that the history of trials doesn't give back."""

    def ask(self) -> Recommendation | None:
        """Return the next values, at once or nearly so.

        None where others have to end first, where it `is_thinking`, or where nothing is left to try.
        """

    @property
    def is_thinking(self) -> bool:
        """Say whether `ask` returned None only because the next values take their time."""

    def go_on_from(self, best: Trial) -> Recommendation | None:
        """Return other values to go on with from a trial's checkpoint, for what is left of the time; None: no such."""

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Take the metric after ``epoch`` epochs (counted from 1), and say whether the trial is hopeless."""

    def tell(self, number: int, ended: Ended, value: float | None) -> None:
        """Take how a trial ended, with its best value."""

    def needed(self) -> set[int]:
        """Return the ended trials whose checkpoints later trials may go on from."""

    def why_over(self) -> str:
        """Say why nothing is left to try, after `ask` returned None with no trial running and nothing thought about."""


def ask_patiently(searcher: Searcher, until: float) -> Recommendation | None:
    """Return the next values, waiting where the algorithm thinks about them, up to a moment of the monotonic clock."""
    while (found := searcher.ask()) is None and searcher.is_thinking and time.monotonic() < until:
        continue
    return found
