"""Several processes that train together, for real, on the CPU."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn

from tao_skill.config.keys import nest
from tao_skill.config.train import Train
from tao_skill.config.yaml_text import dump_yaml
from tao_skill.errors import CheckpointError, DataError, SpecError
from tao_skill.metric_learning.actions import run_action
from tao_skill.metric_learning.model.recogniser import Recogniser
from tao_skill.metric_learning.training.processes import _make_fit_for_several, find_processes, freeze_unused

LIMIT = 600
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]


@pytest.fixture
def plain(spec: dict[str, Any]) -> dict[str, Any]:
    """Return settings without augmentation, with LayerNorm, and rates that move the weights from the first step on."""
    quiet = {"dataset.prob": 0.0, "dataset.re_prob": 0.0, "dataset.color_augmentation.enabled": False}
    rates = {f"train.optim.{part}.base_lr": 0.05 for part in ("trunk", "embedder", "loss")}
    fast = {"train.optim.name": "SGD", "train.optim.warmup_factor": 1.0}
    steps = {"train.checkpoint_interval_unit": "step", "train.checkpoint_interval": 1}
    return spec | quiet | rates | fast | steps | {"model.timm_name": "test_vit", "train.batch_size": 4}


def together(flat: dict[str, Any], folder: Path, words: list[str] | None = None) -> dict[str, Any]:
    """Train in processes of their own, and return the one document on stdout."""
    file = folder.with_suffix(".yaml")
    file.write_text(dump_yaml(nest(flat | {"results_dir": str(folder)})))
    start = words or [sys.executable]
    done = subprocess.run(
        [*start, "-m", "tao_skill.cli.ml_recog", "train", "-e", str(file), "--json"],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.stdout, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert "error" not in document, document
    return document


def alone(flat: dict[str, Any], folder: Path) -> dict[str, Any]:
    return run_action("train", nest(flat), results_dir=folder)


def periodic(folder: Path) -> list[Path]:
    record = json.loads((folder / "train" / "checkpoints.json").read_text())
    return [folder / "train" / entry["file"] for entry in record["checkpoints"] if entry["kind"] == "periodic"]


def weights(folder: Path) -> dict[str, Tensor]:
    """Return what the last checkpoint holds: the weights, and those of the loss."""
    content = torch.load(periodic(folder)[-1], weights_only=True)
    own = {name: value for name, value in content["training"]["criterion"].items() if isinstance(value, Tensor)}
    return {**content["state_dict"], **own}


def moved(folder: Path) -> float:
    """Return the largest change of a weight since the first step."""
    start, end = torch.load(periodic(folder)[0], weights_only=True)["state_dict"], weights(folder)
    return max(float((start[name].float() - end[name].float()).abs().max()) for name in start)


def reported(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "train" / "status.json").read_text().splitlines()]
    assert [line["status"] for line in lines].count("STARTED") == 1
    return [line["kpi"] for line in lines if "epoch" in line]


def assert_alike(first: Path, second: Path) -> None:
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys()
    for name in one:
        assert torch.allclose(one[name].float(), other[name].float(), atol=2e-5), name
    for mine, theirs in zip(reported(first), reported(second), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-4)


def test_two_processes_learn_what_one_learns_from_batches_twice_as_large(plain: dict[str, Any], tmp_path: Path) -> None:
    settings = {"train.cross_batch_memory_size": 16, "train.weights_average_decay": 0.5}
    document = together(plain | settings | {"train.cpu_processes": 2}, tmp_path / "two")
    alone(plain | settings | {"train.batch_size": 8}, tmp_path / "one")
    assert_alike(tmp_path / "one", tmp_path / "two")
    assert moved(tmp_path / "two") > 1e-3
    assert json.loads((tmp_path / "two" / "train" / "results.json").read_text()) == document
    # One process goes on from within an epoch with what two began.
    first = {"train.resume_training_checkpoint_path": str(periodic(tmp_path / "two")[0])}
    alone(plain | settings | first | {"train.batch_size": 8}, tmp_path / "rest")
    assert_alike(tmp_path / "one", tmp_path / "rest")
    with pytest.raises(CheckpointError, match="another order of images"):
        alone(plain | settings | first, tmp_path / "other")


@pytest.mark.long
@pytest.mark.parametrize("loss", ["subcenter_arcface", "proxy_anchor", "supcon"])
def test_four_processes_learn_what_one_learns(plain: dict[str, Any], tmp_path: Path, loss: str) -> None:
    # Five of six classes would not divide among four processes.
    settings = {"train.loss.name": loss, "dataset.num_instance": 2}
    together(plain | settings | {"train.cpu_processes": 2, "train.batch_size": 4}, tmp_path / "two")
    together(plain | settings | {"train.cpu_processes": 4, "train.batch_size": 2}, tmp_path / "four")
    alone(plain | settings | {"train.batch_size": 8}, tmp_path / "one")
    assert_alike(tmp_path / "one", tmp_path / "two")
    assert_alike(tmp_path / "one", tmp_path / "four")


@pytest.mark.long
def test_frozen_batch_statistics_and_frozen_trunks_work_together(plain: dict[str, Any], tmp_path: Path) -> None:
    # Smooth activations and low rates: a kink, or steps that overshoot, would make much of rounding.
    slow = {f"train.optim.{part}.base_lr": 0.005 for part in ("trunk", "embedder")}
    for name, settings in {
        "statistics": {"model.timm_name": "test_efficientnet", "train.batch_statistics": "frozen", **slow},
        "trunk": {"train.train_trunk": False, "train.accumulate_batches": 2, "train.clip_grad_norm": 0.1},
    }.items():
        together(plain | settings | {"train.cpu_processes": 2}, tmp_path / f"{name}_two")
        alone(plain | settings | {"train.batch_size": 8}, tmp_path / f"{name}_one")
        assert_alike(tmp_path / f"{name}_one", tmp_path / f"{name}_two")
        assert moved(tmp_path / f"{name}_two") > 1e-3


@pytest.mark.long
def test_resume_of_several_processes_is_exact(plain: dict[str, Any], tmp_path: Path) -> None:
    settings = plain | {
        "train.cpu_processes": 2,
        "train.optim.name": "Adam",
        "train.optim.trunk.base_lr": 1e-3,
        "train.cross_batch_memory_size": 16,
        "dataset.prob": 0.5,
        "dataset.re_prob": 0.5,
        "model.timm_name": "efficientnet_lite0",  # with dropout
    }
    together(settings, tmp_path / "whole")
    first = {"train.resume_training_checkpoint_path": str(periodic(tmp_path / "whole")[0])}
    together(settings | first, tmp_path / "rest")
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "rest")
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert reported(tmp_path / "whole") == reported(tmp_path / "rest")


@pytest.mark.long
def test_torchruns_processes_are_used(plain: dict[str, Any], tmp_path: Path) -> None:
    # A seed of its own for each run, which the processes must share.
    together(plain | {"train.seed": -1}, tmp_path / "random", TORCHRUN)
    together(plain, tmp_path / "two", TORCHRUN)
    alone(plain | {"train.batch_size": 8}, tmp_path / "one")
    assert_alike(tmp_path / "one", tmp_path / "two")


@pytest.mark.long
@pytest.mark.parametrize("whom", ["first", "second"])
def test_lost_process_is_told_and_nobody_waits_for_it(plain: dict[str, Any], tmp_path: Path, whom: str) -> None:
    endless = {"train.cpu_processes": 2, "train.num_epochs": 5000, "results_dir": str(tmp_path / "run")}
    file = tmp_path / "spec.yaml"
    file.write_text(dump_yaml(nest(plain | endless | {"train.checkpoint_interval": 1000})))
    words = [sys.executable, "-m", "tao_skill.cli.ml_recog", "train", "-e", str(file), "--json"]
    first = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    status = tmp_path / "run" / "train" / "status.json"
    until = time.monotonic() + LIMIT
    while time.monotonic() < until and not (status.is_file() and "Epoch 1 is done" in status.read_text()):
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    (second,) = children(first.pid)
    os.kill(first.pid if whom == "first" else second, signal.SIGKILL)
    output, told = first.communicate(timeout=LIMIT)
    while time.monotonic() < until and Path(f"/proc/{second}").exists() and "Z" not in state(second):
        time.sleep(0.05)
    assert "Z" in state(second) or not Path(f"/proc/{second}").exists()
    message = "Another process of this training ended before its time."
    if whom == "second":
        assert json.loads(output)["error"]["message"] == message
        assert message in json.loads(status.read_text().splitlines()[-1])["message"]
    else:
        assert output == ""
        assert "process 1: error: " + message in told
        assert json.loads(status.read_text().splitlines()[-1])["message"].startswith("process 1: train failed")


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def state(pid: int) -> str:
    path = Path(f"/proc/{pid}/stat")
    return path.read_text().rpartition(")")[2].split()[0] if path.exists() else ""


def test_processes_are_those_of_the_spec_or_of_whoever_started_them() -> None:
    assert find_processes(Train(), {}).count == 1
    asked = find_processes(Train(cpu_processes=3, num_nodes=2), {})
    assert (asked.count, asked.per_machine, asked.is_first) == (6, 3, True)
    assert str(asked) == "6 processes, each on a CPU"
    torchrun = {"TORCHELASTIC_RUN_ID": "x", "RANK": "5", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"}
    found = find_processes(Train(), torchrun)
    assert (found.count, found.per_machine, found.nodes, found.follower) == (8, 4, 2, "process 5")
    slurm = {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "2"}
    found = find_processes(Train(), slurm)
    assert (found.count, found.per_machine, found.nodes, found.is_first) == (4, 2, 2, True)
    with pytest.raises(SpecError, match="uneven"):
        find_processes(Train(), slurm | {"SLURM_NTASKS": "3"})


def test_processes_wait_as_long_as_the_first_looks_at_images() -> None:
    """Those that torchrun started gave up after half an hour."""
    assert find_processes(Train(), {}).strategy() == "auto"
    strategy = find_processes(Train(cpu_processes=2), {}).strategy()
    assert isinstance(strategy, DDPStrategy)
    assert strategy._timeout is not None
    assert strategy._timeout >= timedelta(hours=6)


def test_batches_of_all_processes_must_fit_the_classes(plain: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        alone(plain | {"train.cpu_processes": 4}, tmp_path)
    (problem,) = raised.value.problems
    assert problem.key == "train.batch_size"
    assert "4 processes" in problem.expected


class WithUnused(nn.Module):
    """A trunk with a parameter that no output depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.mask_token = nn.Linear(3, 2), nn.Parameter(torch.zeros(3))
        self.norm = nn.BatchNorm1d(2)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.norm(self.used(images.mean(dim=(2, 3))))
        return out


def test_parameters_that_nothing_depends_on_are_frozen() -> None:
    network = WithUnused().train()
    assert freeze_unused(network, torch.zeros(1, 3, 4, 4)) == ["mask_token"]
    assert [name for name, one in network.named_parameters() if not one.requires_grad] == ["mask_token"]
    assert network.norm.training


def test_batch_statistics_of_gpus_keep_the_activation_of_timms_layers() -> None:
    """PyTorch's own conversion would replace a layer that normalises and activates by one that only normalises."""

    for frozen in (False, True):
        trunk = timm.create_model("efficientnet_lite0", num_classes=0)
        model = SimpleNamespace(input_channels=3, input_width=32, input_height=32)
        module = SimpleNamespace(
            recogniser=Recogniser(trunk, nn.Identity()), spec=SimpleNamespace(model=model), frozen_statistics=frozen
        )
        before = module.recogniser.trunk.bn1
        _make_fit_for_several(module, on_gpus=True)  # type: ignore[arg-type]
        after = module.recogniser.trunk.bn1
        assert isinstance(after, nn.SyncBatchNorm) != frozen
        assert type(after.act) is type(before.act)
