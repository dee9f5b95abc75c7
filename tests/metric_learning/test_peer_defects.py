"""Defects of TAO's trainer, numbered as in the record of its behaviour: one test each that they are not here."""

import csv
import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tao_skill.config.keys import nest
from tao_skill.config.optim import Optim
from tao_skill.config.schema import template
from tao_skill.config.typed import typed_spec
from tao_skill.errors import CheckpointError, DataError
from tao_skill.metric_learning.actions import run_action
from tao_skill.metric_learning.data.sampler import PKBatchSampler
from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.device import choose_device
from tao_skill.metric_learning.model.recogniser import ModelSettings, build_recogniser
from tao_skill.metric_learning.retrieval.metrics import retrieval_metrics
from tao_skill.metric_learning.retrieval.report import metric_names, write_per_class_csv
from tao_skill.metric_learning.training import data as training_data
from tao_skill.metric_learning.training.data import SharedEmbedding
from tao_skill.metric_learning.training.module import TrainingModule
from tao_skill.metric_learning.training.schedule import rate_factor

MONITOR = "val Precision at Rank 1"


def train(spec: dict[str, Any], folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    return run_action("train", nest(spec | changes), results_dir=folder)


def epochs(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "train" / "status.json").read_text().splitlines()]
    return [line for line in lines if "epoch" in line]


def entries(folder: Path, kind: str = "periodic") -> list[dict[str, Any]]:
    record = json.loads((folder / "train" / "checkpoints.json").read_text())
    return [entry for entry in record["checkpoints"] if entry["kind"] == kind]


def test_8_1_learning_rates_climb_and_fall(spec: dict[str, Any], tmp_path: Path) -> None:
    """There they stay at 1 % of base_lr for ever."""
    optim = {"steps": [2, 3], "gamma": 0.1, "warmup_iters": 2, "warmup_factor": 0.01}
    train(spec, tmp_path, {"train.num_epochs": 4} | {f"train.optim.{name}": value for name, value in optim.items()})
    expected = [3.5e-4 * rate_factor(epoch, Optim(**optim)) for epoch in range(4)]  # type: ignore[arg-type]
    assert [line["kpi"]["trunk_base_lr"] for line in epochs(tmp_path)] == pytest.approx(expected)
    # What the optimizer really uses is in its state.
    for entry, rate in zip(entries(tmp_path), expected, strict=True):
        state = torch.load(tmp_path / "train" / entry["file"], weights_only=True)["training"]["optimizers"]
        assert state[0]["param_groups"][0]["lr"] == pytest.approx(rate)


def test_8_2_default_batch_of_one_class_teaches(spec: dict[str, Any], tmp_path: Path) -> None:
    """There a batch of 4 images of one class has no negatives and a loss of exactly 0."""
    defaults = template("train")
    batch = {
        "train.batch_size": defaults["train"]["batch_size"],
        "dataset.num_instance": defaults["dataset"]["num_instance"],
    }
    assert batch == {"train.batch_size": 4, "dataset.num_instance": 4}
    train(spec, tmp_path, batch | {"train.optim.warmup_factor": 1.0})
    assert all(line["kpi"]["train_loss"] > 0.01 for line in epochs(tmp_path))
    first, last = (
        torch.load(tmp_path / "train" / entry["file"], weights_only=True)["state_dict"] for entry in entries(tmp_path)
    )
    assert any(not torch.equal(first[name], last[name]) for name in first if name.endswith("weight"))


def test_8_3_training_goes_on_in_training_mode_after_validation(
    spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the model stays in evaluation mode after the first validation."""
    modes: list[tuple[int, bool]] = []
    step = TrainingModule.training_step

    def watched(self: TrainingModule, batch: Any, batch_idx: int) -> None:
        modes.append((self.epoch, all(module.training for module in self.recogniser.modules())))
        step(self, batch, batch_idx)

    monkeypatch.setattr(TrainingModule, "training_step", watched)
    train(spec, tmp_path, {"train.num_epochs": 3, "train.batch_statistics": "batch"})
    assert set(modes) == {(0, True), (1, True), (2, True)}


def test_8_4_gradients_can_be_clipped(spec: dict[str, Any], tmp_path: Path) -> None:
    """There clip_grad_norm > 0 stops the training before it starts."""
    assert train(spec, tmp_path, {"train.num_epochs": 1, "train.clip_grad_norm": 0.5})["status"] == "COMPLETE"


def test_8_5_validation_has_an_interval_of_its_own(spec: dict[str, Any], tmp_path: Path) -> None:
    """There validation runs whenever checkpoints are written, and steps are compared with epochs."""
    changes = {
        "train.num_epochs": 5,
        "train.validation_interval": 2,
        "train.checkpoint_interval": 7,
        "train.checkpoint_interval_unit": "step",
    }
    train(spec, tmp_path, changes)
    assert [line["epoch"] for line in epochs(tmp_path) if MONITOR in line["kpi"]] == [1, 3, 4]
    assert [entry["step"] for entry in entries(tmp_path)] == [7, 14, 15]


def test_8_6_each_process_draws_whole_classes_of_its_own() -> None:
    """There Lightning shuffles the images of several processes, and no batch keeps its classes."""
    labels = np.repeat(np.arange(12), 6)
    samplers = [PKBatchSampler(labels, 8, 4, seed=1, rank=rank, world_size=2) for rank in range(2)]
    for step in zip(*samplers, strict=True):
        counts = [Counter(int(labels[index]) for index, _ in batch) for batch in step]
        assert all(set(count.values()) == {4} and len(count) == 2 for count in counts)
        assert not set(counts[0]) & set(counts[1])


class Meeting:
    """Two processes, as threads, and what joins their tensors: enough of a trainer to embed with."""

    def __init__(self, rank: int, parts: list[Tensor], barrier: threading.Barrier) -> None:
        self.global_rank, self.parts, self.barrier = rank, parts, barrier
        self.strategy, self.root_device = self, torch.device("cpu")

    def all_gather(self, part: Tensor) -> Tensor:
        self.parts[self.global_rank] = part
        self.barrier.wait()
        return torch.stack(self.parts)


def test_8_7_all_processes_embed_for_validation(task: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """There the first one does, while the others wait."""
    paths = sorted(task["query"].rglob("*.png"))[:11]
    worked: dict[str, list[Path]] = {}

    def embed(_: Any, own: list[Path], **__: Any) -> Tensor:
        worked[threading.current_thread().name] = list(own)
        return torch.tensor([[float(paths.index(path)), 1.0] for path in own])

    monkeypatch.setattr(training_data, "embed_images", embed)
    processes = type("Two", (), {"count": 2, "per_machine": 2})()
    parts, barrier = [torch.zeros(0)] * 2, threading.Barrier(2)
    found: dict[int, Tensor] = {}

    def run(rank: int) -> None:
        shared = SharedEmbedding(Meeting(rank, parts, barrier), processes, embed_dim=2)  # type: ignore[arg-type]
        found[rank] = shared(None, paths, batch_size=4, workers=0)  # type: ignore[arg-type]

    threads = [threading.Thread(target=run, args=(rank,), name=str(rank)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert worked == {"0": paths[:6], "1": paths[6:]}
    for embeddings in found.values():
        assert embeddings[:, 0].tolist() == list(range(11))


def test_8_8_micro_and_macro_means_have_names_of_their_own(tmp_path: Path) -> None:
    """There one name means either, and names of classes shift where a class has no query."""
    query, reference = torch.tensor([[1.0, 0], [1.0, 0], [0, 1.0]]), torch.tensor([[1.0, 0], [0, 1.0], [-1.0, 0]])
    measured = retrieval_metrics(query, [0, 2, 1], reference, [0, 1, 2], class_names=["a", "b", "c"])
    names = metric_names("val", measured)
    assert names[MONITOR] == pytest.approx(2 / 3)
    uneven = retrieval_metrics(query, [0, 2, 2], reference, [0, 1, 2], class_names=["a", "b", "c"])
    names = metric_names("val", uneven)
    assert names[MONITOR] == pytest.approx(1 / 3)
    assert names[f"{MONITOR} (macro)"] == pytest.approx(1 / 2)
    write_per_class_csv(tmp_path / "per_class.csv", uneven.per_class)
    with (tmp_path / "per_class.csv").open(newline="") as file:
        told = {row["class"]: row["precision_at_1"] for row in csv.DictReader(file)}
    assert {name: float(value) for name, value in told.items() if value} == {"a": 1.0, "c": 0.0}


@pytest.mark.parametrize("backbone", ["fan_tiny", "resnet_50"])
def test_8_9_feat_dim_is_honoured_by_every_head(backbone: str) -> None:
    """There FAN and ViT give embeddings as wide as their trunk."""
    model = typed_spec("train", nest({"model.backbone": backbone, "model.feat_dim": 24})).model
    model.input_width = model.input_height = 64
    recogniser = build_recogniser(ModelSettings.of(model), seed=0).eval()
    with torch.inference_mode():
        assert recogniser(torch.zeros(1, 3, 64, 64)).shape == (1, 24)


def test_8_10_width_and_height_are_in_the_right_order() -> None:
    """There an input 320 wide and 160 high becomes a tensor 160 wide."""
    transform = EvalTransform([0.0] * 3, [1.0] * 3, 320, 160, 3)
    tensor = transform.tensor(np.zeros((50, 70, 3), dtype=np.uint8))
    assert tensor.shape == (3, 160, 320)
    model = typed_spec("train", nest({"model.timm_name": "test_vit"})).model
    model.input_width, model.input_height = 64, 32
    with torch.inference_mode():
        recogniser = build_recogniser(ModelSettings.of(model), seed=0).eval()
        assert recogniser(torch.zeros(1, 3, 32, 64)).shape == (1, 256)


def test_8_11_single_image_can_be_recognised(spec: dict[str, Any], task: dict[str, Path], tmp_path: Path) -> None:
    """There inference_input_type image is allowed, and ends in an UnboundLocalError."""
    checkpoint = train(spec, tmp_path, {"train.num_epochs": 1})["checkpoint"]
    given = {
        "inference.checkpoint": checkpoint,
        "inference.input_path": str(task["query"] / "class_1" / "0.png"),
        "inference.inference_input_type": "image",
        "dataset.val_dataset.reference": str(task["reference"]),
        "dataset.workers": 0,
    }
    assert run_action("inference", nest(given), results_dir=tmp_path)["num_images"] == 1


def test_8_12_checkpoints_load_safely_and_wrong_ones_are_refused(spec: dict[str, Any], tmp_path: Path) -> None:
    """There checkpoints need the unsafe loader, and a file that matches no tensor counts as loaded."""
    train(spec, tmp_path, {"train.num_epochs": 1})
    for entry in (*entries(tmp_path), *entries(tmp_path, "best")):
        torch.load(tmp_path / "train" / entry["file"], weights_only=True)
    torch.save({"somebody.elses.weight": torch.zeros(3)}, tmp_path / "wrong.pth")
    with pytest.raises(CheckpointError):
        train(spec, tmp_path / "b", {"model.pretrained_model_path": str(tmp_path / "wrong.pth")})


def test_8_13_steps_in_names_count_batches_and_a_second_run_may_write(spec: dict[str, Any], tmp_path: Path) -> None:
    """There they count both optimizers, and what was written may not be written again."""
    for _ in range(2):
        train(spec, tmp_path, {"train.num_epochs": 2})
        names = [entry["file"] for entry in entries(tmp_path)]
        assert names == ["model_epoch_000_step_00003.pth", "model_epoch_001_step_00006.pth"]


def test_8_14_no_batch_is_dropped_and_too_few_classes_are_told() -> None:
    """There the incomplete last batch is dropped silently, and too few classes end in a bare AssertionError."""
    labels = np.repeat(np.arange(5), 5)
    sampler = PKBatchSampler(labels, 8, 2, seed=0)
    assert len(sampler) == 4  # 25 images in batches of 8
    drawn = {index for epoch in range(2) for index in drawn_in(sampler, epoch)}
    assert drawn == set(range(25))
    with pytest.raises(DataError) as raised:
        PKBatchSampler(labels, 12, 2, seed=0)
    assert raised.value.problems[0].key == "train.batch_size"
    assert "5 classes" in raised.value.problems[0].expected


def drawn_in(sampler: PKBatchSampler, epoch: int) -> list[int]:
    sampler.set_epoch(epoch)
    return [index for batch in sampler for index, _ in batch]


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_8_15_no_gpu_is_needed() -> None:
    """There train, evaluate and inference stop without one."""
    assert choose_device(1, [0], "train.gpu_ids").accelerator == "cpu"  # as all trainings of these tests show
