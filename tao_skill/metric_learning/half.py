"""Validation in bfloat16 on CPUs: with a copy of the trunk whose weights are bfloat16 and hold their batch
normalisation, which takes a third less time than autocast. On GPUs autocast does it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.device import Precision
from tao_skill.metric_learning.engines.torch_network import Network, evaluating
from tao_skill.metric_learning.model.recogniser import Recogniser
from tao_skill.metric_learning.quick_layers import made_plain

__all__ = ["HalfRecogniser", "validating"]

# A copy of the network in bfloat16 takes as long to make as so many images take in float32.
_FEW_IMAGES = 64


@contextmanager
def validating(
    recogniser: Recogniser, transform: EvalTransform, device: torch.device, precision: Precision, num_images: int
) -> Iterator[Network]:
    """Give what embeds so many images of a validation: a recogniser in evaluation mode, on the device it is on.

    It computes in bfloat16 where the training does, unless a CPU has but few images to embed.
    """
    half, on_cpu = precision == "bf16-mixed", device.type == "cpu"
    copied = half and on_cpu and num_images > _FEW_IMAGES
    autocast = "bf16" if half and not on_cpu else "fp32"
    with evaluating(recogniser):
        yield Network(HalfRecogniser(recogniser) if copied else recogniser, transform, device, autocast)


class HalfRecogniser(nn.Module):
    """A copy of a recogniser for validation: its trunk computes in bfloat16, its embedder in float32.

    Embeddings differ from those in float32 by the rounding of bfloat16: their cosine is above 0.999.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        super().__init__()
        trunk = made_plain(copy.deepcopy(recogniser.trunk)).eval()
        folded = _folded(trunk)
        # Normalisation that is not folded into a convolution needs the range of float32, as autocast gives it.
        self._autocast = folded is None
        self.trunk = trunk if folded is None else folded.bfloat16()
        self.trunk.to(memory_format=torch.channels_last)
        self.embedder = recogniser.embedder
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings (batch, feat_dim) of images (batch, channels, height, width)."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._autocast):
            features = self.trunk(images if self._autocast else images.bfloat16())
        embeddings: Tensor = self.embedder(features.float())
        return embeddings


def _folded(trunk: nn.Module) -> nn.Module | None:
    """Return the trunk with all that normalises in the convolutions before it; None where that can't be done."""
    from torch.fx.experimental.optimization import fuse

    kinds = {isinstance(layer, _BatchNorm) for layer in trunk.modules() if _normalises(layer)}
    if kinds != {True}:
        return None
    try:
        folded = fuse(trunk, inplace=True)
    except Exception:  # a graph that depends on its input; it only stays a little slower
        return None
    return None if any(isinstance(layer, _BatchNorm) for layer in folded.modules()) else folded


def _normalises(layer: nn.Module) -> bool:
    """Tell a normalisation by its name: libraries have many of their own, which share no class."""
    return isinstance(layer, _BatchNorm) or (not list(layer.children()) and "norm" in type(layer).__name__.lower())
