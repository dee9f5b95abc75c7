"""Hand the runner's own signals on to the process group that does its work."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

FORWARDED = (signal.SIGINT, signal.SIGTERM)


class SignalForwarder:
    """Catch SIGINT and SIGTERM from ``install`` to ``restore`` and give each to ``deliver``.

    Where they are ignored (``nohup``, a background shell) they stay ignored. Outside the main thread Python takes
    no handlers, so nothing is forwarded.
    """

    def __init__(self, deliver: Callable[[int], None]) -> None:
        self.received: list[int] = []
        self._deliver = deliver
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Take the handlers over."""
        for number in FORWARDED:
            if signal.getsignal(number) in (signal.SIG_IGN, None):
                continue
            try:
                self._before[number] = signal.signal(number, self._caught)
            except ValueError:
                return

    def restore(self) -> None:
        """Give the handlers back; harmless when done twice."""
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)

    def _caught(self, number: int, _frame: FrameType | None) -> None:
        self.received.append(number)
        self._deliver(number)
