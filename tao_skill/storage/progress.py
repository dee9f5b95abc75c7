"""Tell how far a transfer is, once it takes longer than a moment."""

import logging
import threading
import time

__all__ = ["Progress", "in_words"]

_FIRST = 1.0
_EVERY = 5.0

_log = logging.getLogger(__name__)


class Progress:
    """Count bytes of one transfer from any thread, and log bytes, rate and time left."""

    def __init__(self, name: str, total: int | None, *, verb: str = "fetched", quiet: bool = False) -> None:
        self._name, self._total, self._verb, self._quiet = name, total, verb, quiet
        self._lock = threading.Lock()
        self._done = 0
        self._begin = time.monotonic()
        self._next = self._begin + _FIRST
        self._skipped = 0

    def skip(self, count: int) -> None:
        """Count bytes that were here before."""
        with self._lock:
            self._done += count
            self._skipped += count

    def add(self, count: int) -> None:
        """Count bytes that came just now."""
        now = time.monotonic()
        with self._lock:
            self._done += count
            if self._quiet or now < self._next:
                return
            self._next = now + _EVERY
            text = self._text(now)
        _log.info("%s", text)

    def end(self) -> None:
        """Say how long it took, if it was long enough to say anything before, and anything moved."""
        now = time.monotonic()
        moved = self._done - self._skipped
        if moved and now - self._begin >= _FIRST and not self._quiet:
            seconds = now - self._begin
            rate = in_words(int(moved / seconds))
            _log.info("%s: %s %s in %.1f s (%s/s)", self._name, self._verb, in_words(moved), seconds, rate)

    def _text(self, now: float) -> str:
        rate = (self._done - self._skipped) / max(now - self._begin, 1e-6)
        text = f"{self._name}: {in_words(self._done)}"
        if self._total:
            left = (self._total - self._done) / rate if rate > 0 else float("inf")
            waiting = f", {left:.0f} s left" if left < 1e6 else ""
            return f"{text} of {in_words(self._total)}, {in_words(int(rate))}/s{waiting}"
        return f"{text}, {in_words(int(rate))}/s"


def in_words(count: int) -> str:
    """Return a number of bytes as people write it."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
