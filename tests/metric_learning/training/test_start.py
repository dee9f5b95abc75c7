"""What is computed before the first step of a new training."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tao_skill.config.actions import TrainSpec
from tao_skill.config.build import build_spec
from tao_skill.config.keys import nest
from tao_skill.metric_learning.data.folders import read_class_folders
from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.model.recogniser import ModelSettings, Recogniser, build_recogniser
from tao_skill.metric_learning.training import start
from tao_skill.metric_learning.training.criterion import build_criterion
from tao_skill.metric_learning.training.losses import class_vectors
from tao_skill.metric_learning.training.start import Warmup


def warmup(typed: TrainSpec, folder: Path) -> tuple[Warmup, Recogniser]:
    transform = EvalTransform(typed.dataset.pixel_mean, typed.dataset.pixel_std, 32, 32, 3)
    images = read_class_folders(folder, "dataset.train_dataset")
    recogniser = build_recogniser(ModelSettings.of(typed.model), seed=0)
    return Warmup(typed, images, transform, torch.device("cpu"), seed=0), recogniser


def test_every_class_vector_starts_where_its_class_is(
    spec: dict[str, Any], task: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a set too large to be embedded, classes that were not drawn kept random directions."""
    monkeypatch.setattr(start, "MOST_IMAGES", 3)
    typed, _ = build_spec("train", nest(spec | {"train.loss.name": "arcface"}))
    begun, recogniser = warmup(typed, task["train"])
    criterion = build_criterion(typed.train, num_instance=2, num_images=24, num_classes=6, embed_dim=16, seed=0)
    before = class_vectors(criterion.loss).clone()
    begun.start_criterion(recogniser, criterion)
    assert bool((class_vectors(criterion.loss) - before).abs().amax(dim=(1, 2)).gt(1e-3).all())


def test_an_untrained_trunk_gets_batch_statistics_however_the_embedder_starts(
    spec: dict[str, Any], task: dict[str, Path]
) -> None:
    typed, _ = build_spec("train", nest(spec | {"train.embedder_start": "random"}))
    begun, recogniser = warmup(typed, task["train"])
    embedder = {name: value.clone() for name, value in recogniser.embedder.state_dict().items()}
    begun.start_embedder(recogniser)
    means = [value for name, value in recogniser.state_dict().items() if name.endswith("running_mean")]
    assert means
    assert all(bool(mean.abs().max() > 0) for mean in means)
    assert all(torch.equal(value, embedder[name]) for name, value in recogniser.embedder.state_dict().items())
