"""Data that a run can be planned with."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def data_root(tmp_path_factory: pytest.TempPathFactory, small_sets: Callable[[Path], Path]) -> str:
    """Return a root that has every data source of the skill, as small folders."""
    return str(small_sets(tmp_path_factory.mktemp("data")))
