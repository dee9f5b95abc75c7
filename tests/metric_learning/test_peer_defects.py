"""Defects of TAO's trainer, numbered as in the record of its behaviour: one test each that they are not here."""

import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from tao_skill.config.keys import nest
from tao_skill.config.model import Backbone
from tao_skill.config.optim import Optim
from tao_skill.config.schema import template
from tao_skill.config.typed import typed_spec
from tao_skill.config.yaml_text import dump_yaml
from tao_skill.errors import CheckpointError, DataError
from tao_skill.metric_learning.actions import run_action
from tao_skill.metric_learning.data.sampler import PKBatchSampler
from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.model.recogniser import ModelSettings, build_recogniser
from tao_skill.metric_learning.retrieval.metrics import retrieval_metrics
from tao_skill.metric_learning.retrieval.report import metric_names, write_per_class_csv
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


@pytest.fixture(scope="module")
def watched(task: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, Any]]]:
    """Return what each of two processes drew and embedded in a training with a validation before and after."""
    folder = tmp_path_factory.mktemp("watched")
    settings = {
        "dataset.train_dataset": str(task["train"]),
        "dataset.val_dataset.reference": str(task["reference"]),
        "dataset.val_dataset.query": str(task["query"]),
        "dataset.workers": 0,
        "dataset.num_instance": 2,
        "model.timm_name": "test_vit",
        "model.input_width": 32,
        "model.input_height": 32,
        "model.feat_dim": 16,
        "train.batch_size": 4,
        "train.num_epochs": 1,
        "train.cpu_processes": 2,
        "wandb.enable": False,
        "results_dir": str(folder / "results"),
    }
    (folder / "spec.yaml").write_text(dump_yaml(nest(settings)))
    program = Path(__file__).parent / "watched_training.py"
    done = subprocess.run(
        [sys.executable, str(program), str(folder), "train", "-e", str(folder / "spec.yaml"), "--json"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files = [folder / f"rank-{rank}.jsonl" for rank in range(2)]
    return [[json.loads(line) for line in file.read_text().splitlines()] for file in files]


def test_8_6_each_process_draws_whole_classes_of_its_own(watched: list[list[dict[str, Any]]]) -> None:
    """There Lightning shuffles the images of several processes, and no batch keeps its classes."""
    first, second = ([line["drawn"] for line in lines if "drawn" in line] for lines in watched)
    assert len(first) == len(second) == 3  # 24 images, 4 in each process
    for one, other in zip(first, second, strict=True):
        assert all(set(Counter(labels).values()) == {2} and len(set(labels)) == 2 for labels in (one, other))
        assert not set(one) & set(other)


def test_8_7_all_processes_embed_for_validation(watched: list[list[dict[str, Any]]], task: dict[str, Path]) -> None:
    """There the first one does, while the others wait."""
    images = {str(path) for name in ("reference", "query") for path in task[name].rglob("*.png")}
    shares = []
    for lines in watched:
        # What stands behind the last step is the validation of the trained model.
        last = max(number for number, line in enumerate(lines) if "drawn" in line)
        shares.append({path for line in lines[last:] for path in line.get("embedded", ())} & images)
    assert [len(share) for share in shares] == [9, 9]
    assert shares[0] | shares[1] == images


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


@pytest.mark.parametrize("backbone", get_args(Backbone))
def test_8_9_feat_dim_is_honoured_by_every_head(backbone: str) -> None:
    """There FAN and ViT give embeddings as wide as their trunk."""
    model = typed_spec("train", nest({"model.backbone": backbone, "model.feat_dim": 24})).model
    model.input_width, model.input_height = 84, 56
    with torch.device("meta"):  # shapes alone, without weights
        recogniser = build_recogniser(ModelSettings.of(model), seed=0).eval()
        assert recogniser(torch.zeros(2, 3, 56, 84)).shape == (2, 24)


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
def test_8_15_no_gpu_is_needed(spec: dict[str, Any], tmp_path: Path) -> None:
    """There train, evaluate and inference stop without one."""
    gpus = {"train.num_gpus": 1, "train.gpu_ids": [0]}  # as the skill's text has it
    checkpoint = train(spec, tmp_path, {"train.num_epochs": 1} | gpus)["checkpoint"]
    data = {key: value for key, value in spec.items() if key.startswith("dataset.val_dataset")} | {"dataset.workers": 0}
    given = {"evaluate.checkpoint": checkpoint, "evaluate.num_gpus": 1, "evaluate.gpu_ids": [0]}
    assert run_action("evaluate", nest(data | given), results_dir=tmp_path)["num_queries"] == 12
    given = {"inference.checkpoint": checkpoint, "inference.input_path": spec["dataset.val_dataset.query"]}
    reference = {"dataset.val_dataset.reference": spec["dataset.val_dataset.reference"], "dataset.workers": 0}
    assert run_action("inference", nest(reference | given), results_dir=tmp_path)["num_images"] == 12
