"""The running average of the weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tao_skill.config.keys import nest
from tao_skill.metric_learning.actions import run_action
from tao_skill.metric_learning.training.average import automatic_decay, average_of, decay_at


def train(spec: dict[str, Any], folder: Path, **changes: Any) -> dict[str, Any]:
    flat = spec | {key.replace("__", "."): value for key, value in changes.items()}
    return run_action("train", nest(flat), results_dir=folder)


def periodic(folder: Path) -> list[dict[str, Any]]:
    record = json.loads((folder / "train" / "checkpoints.json").read_text())
    names = [entry["file"] for entry in record["checkpoints"] if entry["kind"] == "periodic"]
    return [torch.load(folder / "train" / name, weights_only=True) for name in names]


def recogniser_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("recogniser."): value for name, value in state.items()}


def test_average_is_the_naive_loops() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = average_of(network, decay=0.5)
    expected = [value.clone() for value in network.state_dict().values()]
    for update in range(6):
        for value in (*network.parameters(), *network.buffers()):
            value.data.add_(torch.randn(value.shape).to(value.dtype) if value.dtype.is_floating_point else 1)
        average.update_parameters(network)
        keep = decay_at(update, 0.5) if update else 0.0
        for place, value in enumerate(network.state_dict().values()):
            expected[place] = (keep * expected[place] + (1 - keep) * value).to(value.dtype)
    for mine, theirs in zip(expected, average.module.state_dict().values(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_decay_climbs_to_what_was_asked_for() -> None:
    values = [decay_at(update, 0.9) for update in range(200)]
    assert values[0] == pytest.approx(0.1)
    assert values == sorted(values)
    assert values[-1] == 0.9


@pytest.mark.parametrize(("updates", "decay"), [(0, 0.0), (1, 0.0), (2, 0.0), (4, 0.5), (60, 1 - 1 / 30)])
def test_automatic_decay_reaches_back_half_an_epoch(updates: int, decay: float) -> None:
    assert automatic_decay(updates) == pytest.approx(decay)


def test_checkpoints_hold_the_average_and_validation_measures_it(spec: dict[str, Any], tmp_path: Path) -> None:
    fast = {"train__optim__warmup_factor": 1.0, "train__optim__trunk__base_lr": 1e-2}
    train(spec, tmp_path / "plain", train__weights_average_decay=0, **fast)
    result = train(spec, tmp_path / "averaged", train__weights_average_decay=0.9, **fast)
    plain, averaged = periodic(tmp_path / "plain")[-1], periodic(tmp_path / "averaged")[-1]
    left = averaged["training"]["average"]["weights"]
    # The same steps were taken; what is kept of them differs.
    same = recogniser_of(plain["state_dict"])
    assert all(torch.equal(left[name], same[name]) for name in same)
    kept = recogniser_of(averaged["state_dict"])
    assert not torch.allclose(kept["embedder.net.0.weight"], left["embedder.net.0.weight"])
    # What evaluation finds is what validation found.
    data = {key: value for key, value in spec.items() if key.startswith("dataset.val")} | {"dataset.workers": 0}
    measured = run_action(
        "evaluate", nest(data | {"evaluate.checkpoint": result["checkpoint"]}), results_dir=tmp_path / "e"
    )
    for name in ("Precision at Rank 1", "Mean Average Precision"):
        assert measured["metrics"][f"test {name}"] == pytest.approx(result["metrics"][f"val {name}"])


def test_resume_in_the_middle_of_an_epoch_goes_on_with_both(spec: dict[str, Any], tmp_path: Path) -> None:
    changes = {
        "train__checkpoint_interval_unit": "step",
        "train__checkpoint_interval": 2,
        "train__weights_average_decay": 0.9,
        "train__optim__warmup_factor": 1.0,
    }
    train(spec, tmp_path / "whole", **changes)
    folder = tmp_path / "whole" / "train"
    first = json.loads((folder / "checkpoints.json").read_text())["checkpoints"][1]["file"]
    assert first.endswith("step_00002.pth")
    train(spec, tmp_path / "rest", train__resume_training_checkpoint_path=str(folder / first), **changes)
    whole, rest = (periodic(tmp_path / name)[-1] for name in ("whole", "rest"))
    assert (
        whole["training"]["average"]["updates"] == rest["training"]["average"]["updates"] == whole["tao_skill"]["step"]
    )
    for one, other in (
        (whole["state_dict"], rest["state_dict"]),
        (whole["training"]["average"]["weights"], rest["training"]["average"]["weights"]),
    ):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_average_can_be_switched_on_and_off_between_runs(spec: dict[str, Any], tmp_path: Path) -> None:
    train(spec, tmp_path, train__num_epochs=1, train__weights_average_decay=0.9)
    for number, decay in ((2, 0.0), (3, 0.9)):
        latest = json.loads((tmp_path / "train" / "checkpoints.json").read_text())["latest"]
        path = str(tmp_path / "train" / latest)
        before = torch.load(path, weights_only=True)
        changes = {"train__num_epochs": number, "train__resume_training_checkpoint_path": path}
        # With rates this low, what goes on is what was left.
        still = {f"train__optim__{part}__base_lr": 1e-8 for part in ("trunk", "embedder")}
        train(spec, tmp_path, train__weights_average_decay=decay, **changes, **still)
        after = periodic(tmp_path)[-1]
        average = before["training"]["average"]
        left = average["weights"] if average else recogniser_of(before["state_dict"])
        assert (after["training"]["average"] is None) == (decay == 0)
        name = "embedder.net.0.weight"
        now = (after["training"]["average"] or {"weights": recogniser_of(after["state_dict"])})["weights"]
        assert torch.allclose(now[name], left[name], atol=1e-4)
