"""Progress of long work on stderr: a bar to somebody who watches, a line now and then in a log."""

import logging
import sys
import time
from typing import Self

from tqdm import tqdm

from tao_skill.metric_learning.first_process import name_of_follower

__all__ = ["Progress"]

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 30


class Progress:
    """Count one piece of work; call it with how much is done and how much there is, or add to it.

    The bar goes away once all is done.
    """

    def __init__(self, what: str, total: int | None = None, done: int = 0) -> None:
        self.what = what
        watched = sys.stderr.isatty() and not name_of_follower()
        self._bar = tqdm(total=total, initial=done, desc=what, file=sys.stderr, disable=not watched, leave=False)
        self._done, self._total = done, total
        self._said = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Note how much of all is done."""
        self._total = total
        self._bar.total = total
        self._move(done)

    def add(self, number: int = 1) -> None:
        """Note so many more."""
        self._move(self._done + number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()

    def _move(self, done: int) -> None:
        self._bar.update(done - self._done)
        self._done = done
        if done == self._total:
            self.close()
        if self._bar.disable and time.monotonic() - self._said >= SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            log.info("%s: %d of %s", self.what, done, self._total if self._total is not None else "?")
