"""When a trial is hopeless, with and without a pause to compare it at."""

from __future__ import annotations

from pathlib import Path

import pytest
from automl_searcher_loop import Loop  # loaded by conftest.py

FULL = 100


def hopeless_at(folder: Path, first_pause: int | None) -> int | None:
    """Return the epoch at which a trial is ended that stays far behind three others; None: it isn't."""
    loop = Loop("random", folder)
    loop.history.full_epochs, loop.history.first_pause = FULL, first_pause
    until = first_pause or FULL
    for place in range(4):
        found = loop.ask()
        assert found is not None
        for epoch in range(1, until + 1):
            if loop.searcher.report(found.number, epoch, epoch * (1.0 if place < 3 else 0.1)):
                return epoch
        loop.searcher.tell(found.number, "stopped", float(until))
    return None


@pytest.mark.parametrize(("first_pause", "expected"), [(40, 20), (9, 5), (3, 2), (2, 1), (None, FULL // 4)])
def test_the_hopeless_are_ended_halfway_to_the_pause(tmp_path: Path, first_pause: int | None, expected: int) -> None:
    assert hopeless_at(tmp_path, first_pause) == expected
