"""The embedder that is computed anew at each validation."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tao_skill.config.build import build_spec
from tao_skill.config.keys import nest
from tao_skill.config.metrics import MONITOR
from tao_skill.metric_learning.actions import run_action
from tao_skill.metric_learning.data.folders import read_class_folders
from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.embed import embed_images
from tao_skill.metric_learning.engines.torch_network import Network
from tao_skill.metric_learning.model.recogniser import BRANCH_SCALE, ModelSettings, build_recogniser
from tao_skill.metric_learning.training.checkpointing import Candidate, Checkpointing
from tao_skill.metric_learning.training.discriminant import discriminant_projection
from tao_skill.metric_learning.training.record import CheckpointRecord
from tao_skill.metric_learning.training.refit import Refit

EMBEDDER = "recogniser.embedder.net.0.weight"


def train(spec: dict[str, Any], folder: Path, **changes: Any) -> dict[str, Any]:
    flat = spec | {key.replace("__", "."): value for key, value in changes.items()}
    return run_action("train", nest(flat), results_dir=folder)


def weights(path: str | Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


@pytest.mark.parametrize("learns", [True, False])
def test_computed_embedder_is_the_discriminant_projection_of_the_trunk(
    spec: dict[str, Any], task: dict[str, Path], learns: bool
) -> None:
    typed, _ = build_spec("train", nest(spec | {"train.train_embedder": learns}))
    images = read_class_folders(task["train"], "dataset.train_dataset")
    recogniser = build_recogniser(ModelSettings.of(typed.model), seed=0).eval()
    transform = EvalTransform(typed.dataset.pixel_mean, typed.dataset.pixel_std, 32, 32, 3)
    refit = Refit(typed, images, None)
    assert refit.features_of(recogniser) == (512 if learns else 0)
    before = recogniser.embedder.last_linear.weight.clone()
    trunk = Network(recogniser.trunk, transform, torch.device("cpu"))
    found = refit(recogniser, trunk, embed_images, 7)
    features = embed_images(trunk, images.paths, batch_size=64, workers=0)
    weight, bias = discriminant_projection(features, torch.from_numpy(images.labels), 16)
    pixels = torch.rand(5, 512)
    assert torch.allclose(found.embedder(pixels), pixels @ weight.T + bias, atol=1e-3)
    assert found.trunk is recogniser.trunk
    assert torch.equal(recogniser.embedder.last_linear.weight, before)


def test_what_evaluation_finds_is_what_validation_found(spec: dict[str, Any], tmp_path: Path) -> None:
    # Rates at which the trained embedder is spoiled, so that the computed one is no worse.
    spoiled = {"train__optim__embedder__base_lr": 1.0, "train__optim__trunk__base_lr": 1e-8}
    start = {"train__embedder_start": "random", "train__optim__warmup_factor": 1.0, "train__num_epochs": 2}
    result = train(spec, tmp_path, model__feat_dim=3, **spoiled, **start)
    record = json.loads((tmp_path / "train" / "checkpoints.json").read_text())
    trained = next(entry for entry in record["checkpoints"] if entry["file"] == record["latest"])
    assert result["metrics"][MONITOR] >= trained["metrics"][MONITOR]
    data = {key: value for key, value in spec.items() if key.startswith("dataset.val")} | {"dataset.workers": 0}
    measured = run_action(
        "evaluate", nest(data | {"evaluate.checkpoint": result["checkpoint"]}), results_dir=tmp_path / "e"
    )
    assert measured["metrics"]["test Precision at Rank 1"] == pytest.approx(result["metrics"][MONITOR])


def test_a_frozen_embedder_is_left_alone(spec: dict[str, Any], tmp_path: Path) -> None:
    result = train(
        spec, tmp_path, train__embedder_start="random", train__train_embedder=False, model__feat_dim=2,
        train__num_epochs=1,
    )  # fmt: skip
    rows = weights(result["checkpoint"])[EMBEDDER]
    assert torch.allclose(rows @ rows.T, torch.eye(2), atol=1e-4)


@pytest.mark.parametrize(("mode", "expected"), [("max", 1), ("min", 2)])
def test_the_first_of_equals_is_the_best(mode: str, expected: int, tmp_path: Path) -> None:
    record = CheckpointRecord(folder=tmp_path, monitor="m", mode=mode, model={}, transform={})
    candidates = [Candidate(metrics={"m": value}) for value in (0.5, 0.7, 0.3, 0.7, 0.3)]
    checkpointing = Checkpointing(record, train=None, model_name="")  # type: ignore[arg-type]
    assert checkpointing.best_of(candidates) is candidates[expected]


def test_residual_branches_of_an_untrained_trunk_are_awake() -> None:
    settings = ModelSettings("resnet_50", "resnet10t", 32, 32, 3, 8)
    state = build_recogniser(settings, seed=0).state_dict()
    last = [value for name, value in state.items() if name.endswith("bn2.weight")]
    assert last
    assert all(torch.equal(value, torch.full_like(value, BRANCH_SCALE)) for value in last)
