"""A working folder of its own for each test, with data that a run can be planned with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tao_skill.agent.desk import Desk


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_sets: Callable[[Path], Path]) -> Path:
    """Return the working folder; jobs and the cache are in it."""
    work = tmp_path / "work"
    small_sets(work / "data")
    (work / "c.pth").write_bytes(b"\x80\x02no checkpoint")
    monkeypatch.chdir(work)
    for name in ("TAO_RESULTS_ROOT", "TAO_SKILL_ALLOWED_ROOTS", "TAO_SKILL_BANK_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TAO_SKILL_CACHE", str(tmp_path / "cache"))
    return work


@pytest.fixture
def desk(folder: Path) -> Desk:
    return Desk.of([str(folder)])
