"""Gradients that are scaled for fp16: the update must be that of the gradients themselves."""

from contextlib import nullcontext
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import Tensor

from tao_skill.config.build import build_spec
from tao_skill.config.keys import nest
from tao_skill.metric_learning.model.recogniser import ModelSettings, build_recogniser
from tao_skill.metric_learning.training.criterion import build_criterion
from tao_skill.metric_learning.training.module import TrainingModule


class ScaledOnly(MixedPrecision):
    """Scale gradients as fp16 does, but compute in fp32, as a CPU can."""

    def forward_context(self) -> Any:
        return nullcontext()


class Batches(list[tuple[Tensor, Tensor, Tensor]]):
    """Batches of noise."""


def trained(spec: dict[str, Any], scaler: torch.amp.GradScaler | None) -> dict[str, Tensor]:
    typed, _ = build_spec("train", nest(spec))
    sizes = {"num_instance": 2, "num_images": 24, "num_classes": 6, "embed_dim": 16, "seed": 0}
    criterion = build_criterion(typed.train, **sizes)
    module = TrainingModule(build_recogniser(ModelSettings.of(typed.model), seed=0), criterion, typed, seed=0)
    pixels = torch.randn(4, 8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(4).repeat_interleave(2)
    plugins = [] if scaler is None else [ScaledOnly("16-mixed", "cpu", scaler)]
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, plugins=plugins, enable_model_summary=False, **quiet)
    module.train()
    trainer.fit(module, Batches([(images, labels, labels) for images in pixels]))
    assert scaler is None or scaler.get_scale() > 2.0**10
    return {name: value.clone() for name, value in module.state_dict().items() if isinstance(value, Tensor)}


@pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated")
@pytest.mark.parametrize("optimizer", ["SGD", "Adamax"])
def test_scaled_gradients_give_the_same_update(spec: dict[str, Any], optimizer: str) -> None:
    """With clipping, with three optimizers, and with a scale that grows after each update."""
    settings = {
        "train.optim.name": optimizer,
        "train.clip_grad_norm": 0.05,
        "train.loss.name": "arcface",
        "train.optim.warmup_factor": 1.0,
    }
    plain = trained(spec | settings, None)
    scaled = trained(spec | settings, torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=1))
    assert plain.keys() == scaled.keys()
    for name in plain:
        assert torch.allclose(plain[name].float(), scaled[name].float(), atol=1e-5), name
