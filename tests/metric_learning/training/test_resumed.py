"""Going on with a training under other settings: what fits is taken over, and what doesn't is told beforehand."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tao_skill.config.keys import nest
from tao_skill.errors import CheckpointError
from tao_skill.metric_learning.actions import run_action

RESUME = "train.resume_training_checkpoint_path"


def train(spec: dict[str, Any], folder: Path, **changes: Any) -> dict[str, Any]:
    flat = spec | {key.replace("__", "."): value for key, value in changes.items()}
    return run_action("train", nest(flat), results_dir=folder)


def latest(folder: Path) -> Path:
    record = json.loads((folder / "train" / "checkpoints.json").read_text())
    return folder / "train" / str(record["latest"])


def weights(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def refused(spec: dict[str, Any], folder: Path, **changes: Any) -> dict[str, str]:
    """Return what is asked for, by key, when a training can't go on."""
    with pytest.raises(CheckpointError) as raised:
        train(spec, folder, **changes)
    return {problem.key: problem.expected for problem in raised.value.problems}


def test_another_optimizer_or_other_pixels_are_refused(spec: dict[str, Any], tmp_path: Path) -> None:
    train(spec, tmp_path / "a", train__num_epochs=1)
    first = spec | {RESUME: str(latest(tmp_path / "a"))}
    assert refused(first, tmp_path / "b", train__optim__name="SGD") == {
        "train.optim.name": "Adam, as in the checkpoint"
    }
    assert set(refused(first, tmp_path / "c", dataset__pixel_mean=[0.1, 0.2, 0.3])) == {"dataset.pixel_mean"}


def test_within_an_epoch_the_images_must_come_in_the_same_order(
    spec: dict[str, Any], task: dict[str, Path], tmp_path: Path
) -> None:
    steps = {"train.checkpoint_interval_unit": "step", "train.checkpoint_interval": 1, "train.num_epochs": 1}
    train(spec | steps, tmp_path / "a")
    first = min((tmp_path / "a" / "train").glob("model_epoch_*.pth"))
    more = shutil.copytree(task["train"], tmp_path / "more")
    shutil.copy(more / "class_0" / "0.png", more / "class_0" / "9.png")
    changed = {"dataset__num_instance": 4, "dataset__train_dataset": str(more)}
    asked = refused(spec | steps | {RESUME: str(first)}, tmp_path / "b", **changed)
    assert asked["dataset.num_instance"].startswith("2,")
    assert asked["dataset.train_dataset"].startswith("its 24 images")


@pytest.mark.parametrize("frozen", ["trunk", "embedder"])
def test_a_part_may_be_frozen_or_freed(
    spec: dict[str, Any], tmp_path: Path, frozen: str, caplog: pytest.LogCaptureFixture
) -> None:
    rates = {"train.optim.warmup_factor": 1.0, "train.weights_average_decay": 0.0}
    train(spec | rates, tmp_path, train__num_epochs=1)
    both = latest(tmp_path)
    train(spec | rates | {RESUME: str(both)}, tmp_path, train__num_epochs=2, **{f"train__train_{frozen}": False})
    one = latest(tmp_path)
    assert moved(both, one) == {"trunk", "embedder"} - {frozen}
    with caplog.at_level(logging.WARNING):
        train(spec | rates | {RESUME: str(one)}, tmp_path, train__num_epochs=3)
    assert f"The optimizer of the {frozen} begins anew" in caplog.text
    assert moved(one, latest(tmp_path)) == {"trunk", "embedder"}


def moved(before: Path, after: Path) -> set[str]:
    """Return the parts whose weights differ."""
    first, last = weights(before), weights(after)
    return {
        name.split(".")[1] for name in first if name.endswith("weight") and not torch.equal(first[name], last[name])
    }


def test_another_class_is_named_where_the_loss_has_a_vector_of_each(
    spec: dict[str, Any], task: dict[str, Path], tmp_path: Path
) -> None:
    arcface = spec | {"train.loss.name": "arcface"}
    train(arcface, tmp_path / "a", train__num_epochs=1)
    more = shutil.copytree(task["train"], tmp_path / "more")
    shutil.copytree(more / "class_0", more / "class_new")
    first = {RESUME: str(latest(tmp_path / "a"))}
    asked = refused(arcface | first, tmp_path / "b", dataset__train_dataset=str(more))
    assert "the 6 classes of the checkpoint (without class_new)" in asked["dataset.train_dataset"]
    shutil.rmtree(more / "class_1")
    asked = refused(arcface | first, tmp_path / "c", dataset__train_dataset=str(more))
    assert "(without class_new and with class_1)" in asked["dataset.train_dataset"]


def test_a_training_that_goes_on_in_a_new_folder_keeps_its_best(spec: dict[str, Any], tmp_path: Path) -> None:
    first = train(spec, tmp_path / "a", train__num_epochs=1)
    # Rates that spoil it.
    bad = {"train.optim.embedder.base_lr": 1.0, "train.optim.trunk.base_lr": 1e-8, "train.embedder_refit": False}
    changes = {"train.num_epochs": 2, "train.optim.warmup_factor": 1.0, RESUME: str(latest(tmp_path / "a"))}
    second = train(spec | bad | changes, tmp_path / "b")
    assert Path(second["checkpoint"]) == tmp_path / "b" / "train" / "model_best.pth"
    value = "val Precision at Rank 1"
    assert second["metrics"][value] >= first["metrics"][value]
    if second["best_epoch"] == first["best_epoch"]:
        assert second["metrics"] == first["metrics"]


def test_another_metric_may_rank_what_follows(spec: dict[str, Any], tmp_path: Path) -> None:
    train(spec, tmp_path, train__num_epochs=1)
    changes = {"train__num_epochs": 2, "train__checkpointer__monitor": "train_loss"}
    result = train(spec | {RESUME: str(latest(tmp_path))}, tmp_path, **changes)
    assert "train_loss" in result["metrics"]
