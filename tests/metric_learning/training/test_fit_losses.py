"""Training with other losses than the default, for real."""

import json
import math
import shutil
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import torch

from tao_skill.config.keys import nest
from tao_skill.config.loss import LOSSES_WITH_WEIGHTS, Loss
from tao_skill.errors import CheckpointError, SpecError
from tao_skill.metric_learning.actions import run_action

NAMES = get_type_hints(Loss)["name"].__args__


def train(spec: dict[str, Any], folder: Path, **changes: Any) -> dict[str, Any]:
    flat = spec | {key.replace("__", "."): value for key, value in changes.items()}
    return run_action("train", nest(flat), results_dir=folder)


def epochs(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "train" / "status.json").read_text().splitlines()]
    return [line for line in lines if "epoch" in line]


def periodic(folder: Path) -> list[Path]:
    record = json.loads((folder / "train" / "checkpoints.json").read_text())
    return [folder / "train" / entry["file"] for entry in record["checkpoints"] if entry["kind"] == "periodic"]


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_trains(spec: dict[str, Any], tmp_path: Path, name: str) -> None:
    result = train(spec, tmp_path, train__loss__name=name, train__num_epochs=1)
    kpi = epochs(tmp_path)[0]["kpi"]
    assert kpi["train_loss"] > 0
    assert math.isfinite(kpi["train_loss"])
    assert ("loss_base_lr" in kpi) == (name in LOSSES_WITH_WEIGHTS)
    # What recognises needs nothing of the loss.
    state = torch.load(result["checkpoint"], weights_only=True)["state_dict"]
    assert all(key.startswith("recogniser.") for key in state)


@pytest.mark.parametrize("name", ["subcenter_arcface", "supcon"])
def test_resume_in_the_middle_of_an_epoch_is_exact(spec: dict[str, Any], tmp_path: Path, name: str) -> None:
    changes = {
        "train__checkpoint_interval_unit": "step",
        "train__checkpoint_interval": 1,
        "train__accumulate_batches": 2,
        "train__loss__name": name,
        "train__cross_batch_memory_size": 16 if name == "supcon" else -1,
    }
    train(spec, tmp_path / "whole", **changes)
    first = periodic(tmp_path / "whole")[0]
    train(spec, tmp_path / "rest", train__resume_training_checkpoint_path=str(first), **changes)
    last = [torch.load(periodic(tmp_path / folder)[-1], weights_only=True) for folder in ("whole", "rest")]
    for part in ("state_dict", "criterion"):
        one, other = (content.get(part) or content["training"][part] for content in last)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one if isinstance(one[key], torch.Tensor))
    losses = [[line["kpi"]["train_loss"] for line in epochs(tmp_path / folder)] for folder in ("whole", "rest")]
    assert losses[0] == losses[1]


def test_class_vectors_learn_at_their_own_rate(spec: dict[str, Any], tmp_path: Path) -> None:
    def vectors(rate: float) -> list[torch.Tensor]:
        folder = tmp_path / str(rate)
        train(spec, folder, train__loss__name="arcface", train__optim__loss__base_lr=rate)
        states = [torch.load(path, weights_only=True)["training"] for path in periodic(folder)]
        return [state["criterion"]["loss.W"] for state in states]

    still, moved = vectors(1e-8), vectors(1e-2)
    assert torch.allclose(still[0], still[1], atol=1e-6)
    assert not torch.allclose(moved[0], moved[1], atol=1e-4)


def test_resume_with_another_loss_or_memory_is_refused(spec: dict[str, Any], tmp_path: Path) -> None:
    train(spec, tmp_path / "a", train__num_epochs=1, train__cross_batch_memory_size=16)
    path = {"train__resume_training_checkpoint_path": str(periodic(tmp_path / "a")[0])}
    with pytest.raises(CheckpointError, match="another loss"):
        train(spec, tmp_path / "b", train__loss__name="supcon", **path)
    with pytest.raises(CheckpointError, match="does not fit") as raised:
        train(spec, tmp_path / "c", train__cross_batch_memory_size=8, **path)
    assert raised.value.problems[0].key == "train.cross_batch_memory_size"


@pytest.mark.parametrize(
    ("before", "after", "asked", "told"),
    [(2, 8, -1, "is not needed any more"), (8, 2, -1, "begins empty"), (8, 4, 16, "begins empty")],
)
def test_a_memory_whose_size_follows_the_batch_is_no_obstacle(  # noqa: PLR0917
    spec: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture, before: int, after: int, asked: int,
    told: str,
) -> None:  # fmt: skip
    """A training may change the size of its batches where it is resumed."""
    memory = {"train__cross_batch_memory_size": asked}
    train(spec, tmp_path / "a", train__num_epochs=1, train__batch_size=before, **memory)
    path = {"train__resume_training_checkpoint_path": str(periodic(tmp_path / "a")[0])}
    train(spec, tmp_path / "b", train__num_epochs=2, train__batch_size=after, **memory, **path)
    assert told in caplog.text
    assert [line["epoch"] for line in epochs(tmp_path / "b")] == [1]


def test_a_memory_of_other_classes_begins_empty(
    spec: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It holds the numbers of its classes, which would now be those of others."""
    train(spec, tmp_path / "a", train__num_epochs=1, train__cross_batch_memory_size=16)
    path = {"train__resume_training_checkpoint_path": str(periodic(tmp_path / "a")[0])}
    data = Path(shutil.copytree(spec["dataset.train_dataset"], tmp_path / "data"))
    shutil.copytree(next(data.iterdir()), data / "a_first_one")
    changed = spec | {"dataset.train_dataset": str(data)}
    train(changed, tmp_path / "b", train__num_epochs=2, train__cross_batch_memory_size=16, **path)
    assert "begins empty" in caplog.text


def test_memory_is_refused_where_images_are_not_compared(spec: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SpecError) as raised:
        train(spec, tmp_path, train__loss__name="arcface", train__cross_batch_memory_size=64)
    assert "train.cross_batch_memory_size" in {problem.key for problem in raised.value.problems}


def test_class_vectors_need_no_other_class_in_a_batch(spec: dict[str, Any], tmp_path: Path) -> None:
    train(
        spec,
        tmp_path,
        train__loss__name="arcface",
        train__batch_size=2,
        train__cross_batch_memory_size=0,
        train__num_epochs=1,
    )
    assert epochs(tmp_path)[0]["kpi"]["train_loss"] > 0


@pytest.mark.parametrize("name", ["triplet", "supcon"])
def test_single_images_of_classes_find_their_positives_in_the_memory(
    spec: dict[str, Any], tmp_path: Path, name: str
) -> None:
    """Within the batch there are none, so that without a memory the loss would be 0 and teach nothing."""
    one = {"dataset__num_instance": 1, "train__batch_size": 6, "train__num_epochs": 1}
    train(spec, tmp_path / "automatic", train__loss__name=name, **one)
    assert epochs(tmp_path / "automatic")[0]["kpi"]["train_loss"] > 0.1
    with pytest.raises(SpecError) as raised:
        train(spec, tmp_path / "without", train__loss__name=name, train__cross_batch_memory_size=0, **one)
    assert {problem.key for problem in raised.value.problems} == {"dataset.num_instance"}
