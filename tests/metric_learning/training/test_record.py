"""Which checkpoint is worth more, and which names a training may write."""

import math
from pathlib import Path

import pytest

from tao_skill.metric_learning.training.record import CheckpointEntry, CheckpointRecord

MONITOR, TIE_BREAKER = "val Precision at Rank 1", "val MAP@R"


def record(folder: Path, monitor: str = MONITOR, mode: str = "max") -> CheckpointRecord:
    return CheckpointRecord(folder=folder, monitor=monitor, mode=mode, model={}, transform={})


def test_the_monitored_metric_decides_and_between_equals_map_at_r(tmp_path: Path) -> None:
    """The start of an easy task has a precision of 1 already: the untrained model would be kept for ever."""
    worth = record(tmp_path).worth
    assert worth({MONITOR: 1.0, TIE_BREAKER: 0.9}) > worth({MONITOR: 1.0, TIE_BREAKER: 0.8})
    assert worth({MONITOR: 0.9, TIE_BREAKER: 0.1}) > worth({MONITOR: 0.8, TIE_BREAKER: 0.8})
    least = record(tmp_path, "train_loss", "min").worth
    assert least({"train_loss": 0.1}) > least({"train_loss": 0.2})
    assert least({"train_loss": 9.0}) > least({}) == (-math.inf, -math.inf)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_best_that_was_ranked_by_another_metric_is_beaten_by_any(tmp_path: Path, mode: str) -> None:
    started = record(tmp_path)
    (tmp_path / "best.pth").touch()
    started.best = "best.pth"
    started.add(CheckpointEntry("best.pth", "best", -1, 0, 0, {MONITOR: 0.9}))
    resumed = record(tmp_path, "train_loss", mode)
    resumed.take_over()
    assert resumed.worth({"train_loss": 5.0}) > resumed.best_worth
