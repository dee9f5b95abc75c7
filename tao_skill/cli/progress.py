"""What the program says while it works."""

from __future__ import annotations

import logging
import sys

__all__ = ["show_log"]


def show_log(debug: bool, errors_only: bool = False) -> None:
    """Send what the program says of its progress to stderr."""
    level = logging.DEBUG if debug else logging.ERROR if errors_only else logging.INFO
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr, force=True)
