"""The seam between a search and where its trials run: this machine's processes, or a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tao_skill.automl.history import Failure, Trial
from tao_skill.errors import Problem

__all__ = ["End", "Executor", "Progress", "Running"]


@dataclass(frozen=True)
class End:
    """How a trial's process ended; ``stopped`` by the search itself, with its last checkpoint in place."""

    state: Literal["done", "stopped", "failed"]
    failure: Failure | None = None
    # Seconds in which the trial's own program did not run yet or did not run any more: starting a worker, say.
    overhead: float = 0.0
    checkpoint_bytes: int = 0
    # The metric of the checkpoint that is handed on; None where the program doesn't tell.
    held_value: float | None = None


@dataclass(frozen=True)
class Progress:
    """What is new of a trial: values of the metric by epoch, counted from 1, and its end.

    ``instead`` names what it reports, the likeliest first, once that shows that the metric isn't among it.
    """

    reports: Sequence[tuple[int, float | None]] = ()
    end: End | None = None
    instead: Sequence[str] | None = None
    # Whether it has not begun yet, for want of room.
    waits: bool = False


class Running(Protocol):
    """A trial that was started."""

    def poll(self) -> Progress:
        """Return what is new; never wait."""

    def stop(self, reason: str) -> None:
        """Ask the trial to end at its last checkpoint; kill it where it doesn't."""


class Executor(Protocol):
    """Where trials run."""

    @property
    def slots(self) -> int:
        """Return how many trials may run at once."""

    @property
    def can_go_on(self) -> bool:
        """Say whether a trial that was stopped can train on from its checkpoint; else it begins anew."""

    def can_begin_from(self, trial: Trial) -> bool:
        """Say whether another trial can begin from a trial's newest checkpoint, even while that one trains."""

    def check(self, values: Mapping[str, Any]) -> Sequence[Problem]:
        """Return what is wrong with values, by dotted key, before they cost anything."""

    def start(self, trial: Trial) -> Running:
        """Start a trial, or go on with it, from its own newest checkpoint or else that of ``trial.continues``."""

    def leave(self, trial: Trial, reason: str) -> Progress:
        """Return what a trial that an earlier run of the search left came to, and its end: it doesn't go on."""

    def forget(self, trial: Trial) -> None:
        """Delete the checkpoints of a trial that is out of the race."""

    def close(self) -> None:
        """End all that is left running, and give back what was held."""
