"""Tell a cluster that is full, which is worth waiting for, from one that has lost every node that could run a trial."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from tao_skill.errors import NotAvailableError, Problem

__all__ = ["RoomWatch"]

_log = logging.getLogger(__name__)
# A node that starts anew, or one that the cluster gets in its place, is there by then.
PATIENCE_SECONDS = 600.0
_LOOK_SECONDS = 5.0


class RoomWatch:
    """Looked at while a trial waits for room; ``room`` returns how many trials the nodes that live could run.

    ``next_step`` is the command that goes on with the search once there are nodes.
    """

    def __init__(
        self,
        room: Callable[[], int],
        next_step: str,
        *,
        patience: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._room, self._next_step, self._patience, self._clock = room, next_step, patience, clock
        self._look_at = 0.0
        self._lost_since: float | None = None

    def look(self) -> None:
        """Look, every few seconds at most, and say so in the log where no node is left.

        Raises:
            NotAvailableError: there has been none for too long.
        """
        now = self._clock()
        if now < self._look_at:
            return
        if now - self._look_at > _LOOK_SECONDS:  # nothing waited meanwhile: there was room
            self._lost_since = None
        self._look_at = now + _LOOK_SECONDS
        if self._room() > 0:
            if self._lost_since is not None:
                _log.info("The cluster has a node again that can run trials.")
            self._lost_since = None
        elif self._lost_since is None:
            self._lost_since = now
            minutes = self._patience / 60
            _log.warning("No node of the cluster can run a trial any more; waiting %.0f minutes for one.", minutes)
        elif now - self._lost_since >= self._patience:
            raise NotAvailableError(
                "The cluster has lost all nodes that could run a trial.",
                problems=[Problem("nodes", 0, f"one within {self._patience / 60:.0f} minutes")],
                next_step=self._next_step,
            )
