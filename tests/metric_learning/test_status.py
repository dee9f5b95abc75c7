"""The lines of status.json."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tao_skill.errors import StorageError
from tao_skill.metric_learning.status import StatusLog, plain


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_run_is_one_object_a_line(tmp_path: Path) -> None:
    path = tmp_path / "train" / "status.json"
    log = StatusLog(path)
    log.started("Training started.")
    log.running("Epoch 0 finished.", epoch=0, step=10, max_epoch=30, kpi={"train_loss": 0.7})
    log.success("Done.", kpi={"val Precision at Rank 1": 0.2})
    log.failure("Out of memory.")
    log.skipped("Nothing to do.")
    found = lines(path)
    for line in found:
        datetime.strptime(f"{line.pop('date')} {line.pop('time')}", "%m/%d/%Y %H:%M:%S")
    assert found == [
        {"status": "STARTED", "verbosity": "INFO", "message": "Training started."},
        {
            "status": "RUNNING",
            "verbosity": "INFO",
            "message": "Epoch 0 finished.",
            "epoch": 0,
            "step": 10,
            "max_epoch": 30,
            "kpi": {"train_loss": 0.7},
        },
        {"status": "SUCCESS", "verbosity": "INFO", "message": "Done.", "kpi": {"val Precision at Rank 1": 0.2}},
        {"status": "FAILURE", "verbosity": "ERROR", "message": "Out of memory."},
        {"status": "SKIPPED", "verbosity": "INFO", "message": "Nothing to do."},
    ]


# The peer repeats an epoch's numbers on every later line.
def test_numbers_stand_only_on_their_own_line(tmp_path: Path) -> None:
    log = StatusLog(tmp_path / "status.json")
    log.running("validated", epoch=0, kpi={"val_AMI": 0.5})
    log.running("going on", epoch=1)
    log.running("nothing measured", epoch=2, kpi={})
    assert ["kpi" in line for line in lines(log.path)] == [True, False, False]


def test_a_line_is_on_disk_when_the_call_returns_and_runs_append(tmp_path: Path) -> None:
    first = StatusLog(tmp_path / "status.json")
    first.started("one")
    assert len(lines(first.path)) == 1
    StatusLog(tmp_path / "status.json").started("two")
    first.running("three")
    assert [line["message"] for line in lines(first.path)] == ["one", "two", "three"]


def test_half_a_line_of_a_killed_run_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_text('{"status": "RUNNING", "mess')
    StatusLog(path).started("again")
    torn, whole = path.read_text().splitlines()
    assert torn == '{"status": "RUNNING", "mess'
    assert json.loads(whole)["message"] == "again"


def test_numbers_that_are_not_finite_become_null_and_are_named(tmp_path: Path) -> None:
    log = StatusLog(tmp_path / "status.json")
    kpi = {"train_loss": float("nan"), "lr": 0.5, "val_AMI": -np.inf, "x": torch.tensor(torch.inf)}
    log.running("Epoch 3.", kpi=kpi)
    assert "NaN" not in log.path.read_text()
    (line,) = lines(log.path)
    assert line["kpi"] == {"train_loss": None, "lr": 0.5, "val_AMI": None, "x": None}
    assert line["message"] == "Epoch 3. (not finite: train_loss, val_AMI, x)"


def test_threads_never_mix_their_lines(tmp_path: Path) -> None:
    log = StatusLog(tmp_path / "status.json")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda step: log.running("m" * 5000, step=step), range(200)))
    assert sorted(line["step"] for line in lines(log.path)) == list(range(200))


def test_messages_with_line_breaks_stay_one_line(tmp_path: Path) -> None:
    log = StatusLog(tmp_path / "status.json")
    log.failure("first\nsecond ü")
    assert [line["message"] for line in lines(log.path)] == ["first\nsecond ü"]


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be written"):
        StatusLog(tmp_path / "file" / "status.json")
    log = StatusLog(tmp_path / "status.json")
    log.path = tmp_path
    with pytest.raises(StorageError, match="can't be written"):
        log.started("x")


def test_plain_data() -> None:
    value = {"a": (1, np.float32(0.5), torch.tensor([1.0, torch.nan])), "b": {"c": [float("inf")]}, "d": Path("x/y")}
    assert plain(value) == ({"a": [1, 0.5, [1.0, None]], "b": {"c": [None]}, "d": "x/y"}, ["a[2][1]", "b.c[0]"])
