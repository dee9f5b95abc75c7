"""Batches whose gradients are averaged for one update."""

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from tao_skill.config.build import build_spec
from tao_skill.config.keys import nest
from tao_skill.metric_learning.model.recogniser import ModelSettings, build_recogniser
from tao_skill.metric_learning.training.criterion import build_criterion
from tao_skill.metric_learning.training.module import TrainingModule


class Batches(list[tuple[Tensor, Tensor, Tensor]]):
    """Batches that are ready: Lightning would make batches of a plain list's entries."""


def trained(spec: dict[str, Any], drawn: list[int]) -> dict[str, Tensor]:
    """Return the parameters after an epoch of batches of noise with these seeds, two to an update."""
    plain = {"train.optim.name": "SGD", "train.accumulate_batches": 2, "train.optim.warmup_factor": 1.0}
    typed, _ = build_spec("train", nest(spec | plain))
    sizes = {"num_instance": 2, "num_images": 24, "num_classes": 6, "embed_dim": 16, "seed": 0}
    criterion = build_criterion(typed.train, **sizes)
    module = TrainingModule(build_recogniser(ModelSettings.of(typed.model), seed=0), criterion, typed, seed=0)
    labels = torch.arange(4).repeat_interleave(2)
    batches = [(torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(seed)), labels) for seed in drawn]
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, enable_model_summary=False, **quiet)
    module.train()
    trainer.fit(module, Batches([(images, labels, labels) for images, labels in batches]))
    return {name: value.detach().clone() for name, value in module.recogniser.named_parameters()}


@pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated")
def test_an_epochs_last_update_is_a_mean_however_few_batches_are_left(spec: dict[str, Any]) -> None:
    """It was half as long where one of two batches was left."""
    one_left, the_same_twice = trained(spec, [1, 2, 3]), trained(spec, [1, 2, 3, 3])
    for name in one_left:
        assert torch.allclose(one_left[name], the_same_twice[name], atol=1e-6), name
