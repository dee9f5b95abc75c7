"""The recogniser: a trunk and an embedder."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tao_skill.metric_learning.model.backbones import build_trunk, is_published_transformer, trunk_dim
from tao_skill.metric_learning.model.heads import LinearHead, ResidualHead

__all__ = ["ModelSettings", "Recogniser", "build_recogniser"]


@dataclass(frozen=True)
class ModelSettings:
    """What a network's shape depends on; every checkpoint carries it."""

    backbone: str
    timm_name: str
    input_width: int
    input_height: int
    input_channels: int
    feat_dim: int

    @classmethod
    def of(cls, model: Any) -> "ModelSettings":
        """Take the settings from a spec's `model` section."""
        return cls(**{name: getattr(model, name) for name in cls.__dataclass_fields__})

    def document(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        return asdict(self)

    @property
    def trunk_name(self) -> str:
        """Say which trunk this is, for people."""
        return self.timm_name or self.backbone


# What a residual branch of an untrained trunk counts beside its shortcut. Libraries start it at 0, which suits long
# trainings: some hundred steps later the branches would still be asleep.
BRANCH_SCALE = 0.3


class Recogniser(nn.Module):
    """Map images (batch, channels, height, width) to embeddings (batch, feat_dim), not yet of unit length."""

    def __init__(self, trunk: nn.Module, embedder: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.embedder = embedder

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings (batch, feat_dim)."""
        embeddings: Tensor = self.embedder(self.trunk(images))
        return embeddings


def build_recogniser(settings: ModelSettings, seed: int | None = None, *, timm_pretrained: bool = False) -> Recogniser:
    """Return a recogniser with random weights, which depend on the seed alone; or a trunk with timm's weights.

    Raises:
        SpecError, NotAvailableError: the trunk can't be built, or its weights can't be fetched.
    """
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        trunk = build_trunk(
            backbone=settings.backbone,
            timm_name=settings.timm_name,
            input_width=settings.input_width,
            input_height=settings.input_height,
            input_channels=settings.input_channels,
            timm_pretrained=timm_pretrained,
        )
        if not timm_pretrained:
            _wake_branches(trunk)
        features = trunk_dim(trunk, settings.input_channels, settings.input_height, settings.input_width)
        head = ResidualHead if is_published_transformer(settings.backbone, settings.timm_name) else LinearHead
        return Recogniser(trunk, head(features, settings.feat_dim))


@torch.no_grad()
def _wake_branches(trunk: nn.Module) -> None:
    """Give residual branches that start as nothing a part in what the trunk computes."""
    for layer in trunk.modules():
        if isinstance(layer, _BatchNorm) and layer.affine:
            layer.weight.masked_fill_(layer.weight == 0, BRANCH_SCALE)
