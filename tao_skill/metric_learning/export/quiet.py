"""Keeps libraries quiet that print and log what is of no use to users."""

import contextlib
import logging
import sys
from collections.abc import Iterator

__all__ = ["silenced"]


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Keep what libraries print off stdout, which is for results, and don't log their advice."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        logging.disable(before)
