"""What the program says while it works."""

from __future__ import annotations

import io
import logging
import sys

__all__ = ["Echo", "show_log"]

_REMEMBERED = 10_000


class Echo(io.TextIOBase):
    """Show the log of an action on stderr, and remember its end, so that nothing is told twice."""

    def __init__(self) -> None:
        super().__init__()
        self._end = ""

    def write(self, text: str) -> int:
        """Show a piece of the log."""
        self._end = (self._end + text)[-_REMEMBERED:]
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Bring what was written to the terminal."""
        sys.stderr.flush()

    def has_told(self, text: str) -> bool:
        """Say whether the log ends with that text, or has it near its end."""
        return bool(text) and text in self._end


def show_log(debug: bool, errors_only: bool = False) -> None:
    """Send what the program says of its progress to stderr."""
    level = logging.DEBUG if debug else logging.ERROR if errors_only else logging.INFO
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr, force=True)
