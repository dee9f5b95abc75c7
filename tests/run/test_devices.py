"""GPUs are divided among trials that run at once as the user's own choice of them allows; nvidia-smi is a stand-in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tao_skill.config.automl import AutoML
from tao_skill.run.at_once import trials_at_once
from tao_skill.run.devices import has_several_processes, most_at_once, slot_environments
from tao_skill.run.preflight import Gpu, look_around, visible_gpus
from tao_skill.run.program import Program

VISIBLE = "CUDA_VISIBLE_DEVICES"
UNTOUCHED = "untouched"


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of four GPUs."""
    program = tmp_path / "nvidia-smi"
    table = "".join(f"{index}, Some, 81559\\n" for index in range(4))
    program.write_text(f"#!/bin/sh\nprintf '{table}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.delenv(VISIBLE, raising=False)


def shares(slots: int, spec: dict[str, Any]) -> list[str]:
    return [environment.get(VISIBLE, UNTOUCHED) for environment in slot_environments(slots, spec)]


@pytest.mark.parametrize(
    ("allowed", "slots", "spec", "expected"),
    [
        (None, 1, {}, [UNTOUCHED]),
        (None, 2, {}, ["0,1", "2,3"]),
        (None, 3, {}, ["0", "1", "2"]),
        (None, 6, {}, ["0", "1", "2", "3", "0", "1"]),  # several share one
        (None, 2, {"train.num_gpus": 2, "train.gpu_ids": [0, 1]}, ["0,1", "2,3"]),
        ("2,3", 2, {}, ["2", "3"]),
        ("GPU-a,MIG-b", 2, {}, ["GPU-a", "MIG-b"]),
        ("3", 2, {}, ["3", "3"]),
        ("", 2, {}, ["", ""]),
        ("-1", 2, {}, ["-1", "-1"]),
        (None, 2, {"train.gpu_ids": [2]}, [UNTOUCHED, UNTOUCHED]),  # its numbers count from all
        ("1,3", 2, {"train.gpu_ids": [1]}, ["1,3", "1,3"]),
    ],
)
@pytest.mark.usefixtures("gpus")
def test_slots_get_the_gpus_that_the_user_may_use(
    monkeypatch: pytest.MonkeyPatch,
    allowed: str | None,
    slots: int,
    spec: dict[str, Any],
    expected: list[str],
) -> None:
    if allowed is not None:
        monkeypatch.setenv(VISIBLE, allowed)
    assert shares(slots, spec) == expected


@pytest.mark.parametrize(
    ("allowed", "spec", "wanted", "expected"),
    [
        (None, {"train.num_gpus": 2}, 4, 2),
        (None, {"train.num_gpus": 4}, 4, 1),
        (None, {"train.num_gpus": -1}, 4, 1),
        (None, {"train.num_gpus": 2, "train.gpu_ids": [2, 3]}, 4, 1),
        (None, {"train.num_gpus": 8}, 4, 1),  # it fails, and says why
        ("0,1", {"train.num_gpus": 2}, 2, 1),
        ("", {"train.num_gpus": 2}, 3, 3),
        (None, {"train.num_gpus": 1}, 9, 9),
        (None, {}, None, 1),
    ],
)
@pytest.mark.usefixtures("gpus")
def test_no_more_trials_run_at_once_than_there_are_gpus_for(
    monkeypatch: pytest.MonkeyPatch,
    allowed: str | None,
    spec: dict[str, Any],
    wanted: int | None,
    expected: int,
) -> None:
    if allowed is not None:
        monkeypatch.setenv(VISIBLE, allowed)
    assert trials_at_once(AutoML(automl_max_concurrent=wanted), spec) == expected


def test_without_gpus_nothing_is_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(VISIBLE, raising=False)
    assert shares(2, {"train.num_gpus": 2}) == [UNTOUCHED, UNTOUCHED]
    assert most_at_once({"train.num_gpus": 2}) is None


@pytest.mark.usefixtures("gpus")
def test_a_hidden_gpu_is_no_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look_around(tmp_path, 1).device == "cuda"
    monkeypatch.setenv(VISIBLE, "")
    assert look_around(tmp_path, 1).device == "cpu"


def test_names_behind_one_that_is_none_do_not_count() -> None:
    machine = [Gpu(index=index, name="some", memory_gb=16.0) for index in range(3)]
    assert visible_gpus(machine, {VISIBLE: "2, 0,7,1"}) == ["2", "0"]
    assert visible_gpus(machine, {}) == ["0", "1", "2"]
    assert visible_gpus([], {VISIBLE: "0"}) == []


@pytest.mark.parametrize(
    ("spec", "several"),
    [
        ({}, False),
        ({"train.num_gpus": 1, "train.num_nodes": 1, "train.cpu_processes": 1}, False),
        ({"train.num_gpus": 0}, False),
        ({"train.num_gpus": 2}, True),
        ({"train.num_gpus": -1}, True),
        ({"train.num_nodes": 2}, True),
        ({"train.cpu_processes": 3}, True),
    ],
)
def test_a_training_of_several_processes_is_known(spec: dict[str, Any], several: bool) -> None:
    assert has_several_processes(spec) == several


def test_a_script_may_run_in_a_process_of_its_own() -> None:
    program = Program(("--config", "{config_path}"), script="/skill/train.py")
    alone = program.in_own_process()
    assert alone.script == ""
    assert alone.command(Path("s.yaml")) == program.command(Path("s.yaml"))
    assert alone.command(Path("s.yaml")) == [sys.executable, "/skill/train.py", "--config", "s.yaml"]
    assert alone.in_own_process() == alone
