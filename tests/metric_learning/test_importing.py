"""Imports are not searched for garbage, neither meanwhile nor afterwards."""

import gc
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tao_skill.metric_learning.importing import importing_for_good


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the name of a module that holds a thousand lists and was never imported; forget it afterwards."""
    name = "held_for_good"
    (tmp_path / f"{name}.py").write_text("held = [[number] for number in range(1000)]\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    gc.unfreeze()
    yield name
    sys.modules.pop(name, None)
    gc.unfreeze()


def test_garbage_is_collected_again_afterwards_but_not_among_what_was_imported(module: str) -> None:
    with importing_for_good():
        assert not gc.isenabled()
        importlib.import_module(module)
    assert gc.isenabled()
    assert gc.get_freeze_count() > 1_000


def test_nothing_is_set_aside_where_no_module_is_new(module: str) -> None:
    importlib.import_module(module)
    with importing_for_good():
        importlib.import_module(module)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
