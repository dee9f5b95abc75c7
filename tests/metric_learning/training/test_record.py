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


def test_a_training_that_goes_on_elsewhere_keeps_its_best(tmp_path: Path) -> None:
    """The first validation in the new folder became the best, however bad it was."""
    began = record(tmp_path / "a")
    for name in ("model_best.pth", "per_class.csv"):
        began.folder.mkdir(exist_ok=True)
        (began.folder / name).write_text(name)
    began.best = "model_best.pth"
    began.add(CheckpointEntry("model_best.pth", "best", 3, 9, 0, {MONITOR: 0.9}))
    found = began.best_found()
    goes_on = record(tmp_path / "b")
    assert goes_on.bring_best(began.folder, found) == ""
    assert goes_on.best_worth == goes_on.worth({MONITOR: 0.9})
    assert {path.name for path in goes_on.folder.iterdir()} == {"model_best.pth", "per_class.csv", "checkpoints.json"}
    again = record(tmp_path / "b")
    again.take_over()
    assert again.best_found() == found
    # It has one already, and nothing to look for.
    assert again.bring_best(tmp_path / "nowhere", found) == ""
    assert record(tmp_path / "c").bring_best(began.folder, None) == ""


def test_a_best_that_is_gone_or_from_later_on_is_named(tmp_path: Path) -> None:
    began = record(tmp_path)
    (tmp_path / "model_best.pth").touch()
    began.best = "model_best.pth"
    began.add(CheckpointEntry("model_best.pth", "best", 7, 21, 0, {MONITOR: 0.95}))
    elsewhere = record(tmp_path / "b")
    warning = elsewhere.bring_best(tmp_path, {"epoch": 3, "metrics": {MONITOR: 0.9}})
    assert f"of epoch 3 ({MONITOR} 0.9)" in warning
    assert elsewhere.best_entry is None
    assert "not in" in elsewhere.bring_best(tmp_path / "gone", {"epoch": 3, "metrics": {}})


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_best_that_was_ranked_by_another_metric_is_beaten_by_any(tmp_path: Path, mode: str) -> None:
    started = record(tmp_path)
    (tmp_path / "best.pth").touch()
    started.best = "best.pth"
    started.add(CheckpointEntry("best.pth", "best", -1, 0, 0, {MONITOR: 0.9}))
    resumed = record(tmp_path, "train_loss", mode)
    resumed.take_over()
    assert resumed.worth({"train_loss": 5.0}) > resumed.best_worth
