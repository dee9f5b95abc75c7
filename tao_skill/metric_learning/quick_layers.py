"""Convolutions that training computes in another way on CPUs, where that is quicker: same weights, same result.

- One of 1×1 over few pixels is a matrix product, forwards and backwards: oneDNN's own takes up to three times as long.
- Depthwise ones get their gradients as `quick_products.py` tells: in bfloat16, oneDNN takes up to a hundred times as
  long. Unusual ones compute in float32 also under autocast.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from tao_skill.metric_learning.quick_products import depthwise, pointwise

__all__ = ["is_depthwise", "made_plain", "make_quick"]

_Network = TypeVar("_Network", bound=nn.Module)
# Of a whole batch. With more, the products are no quicker.
_FEW_PIXELS = 4_096


def is_depthwise(layer: nn.Module) -> bool:
    """Tell whether a layer convolves each channel with its own filter."""
    return isinstance(layer, nn.Conv2d) and layer.groups > 1 and layer.groups == layer.in_channels


def make_quick(network: nn.Module) -> None:
    """Let the convolutions of a network compute in the quicker way, for training on a CPU."""
    for layer in network.modules():
        kind: Any = type(layer)
        if hasattr(kind, "plain"):
            continue
        if is_depthwise(layer):
            layer.__class__ = _depthwise(kind)
        elif kind is nn.Conv2d and _is_pointwise(layer):
            layer.__class__ = _Pointwise


def made_plain(network: _Network) -> _Network:
    """Let the convolutions of a network compute as PyTorch does, and return it: others can trace and fold them."""
    for layer in network.modules():
        if hasattr(type(layer), "plain"):
            layer.__class__ = vars(type(layer))["plain"]
    return network


def _is_pointwise(layer: Any) -> bool:
    simple = layer.stride == (1, 1) and layer.padding == (0, 0) and layer.groups == 1
    return bool(simple and layer.kernel_size == (1, 1))


class _Pointwise(nn.Conv2d):
    """A convolution of 1×1 that is a matrix product where there are few pixels."""

    plain = nn.Conv2d

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to (batch, out_channels, height, width)."""
        if not _is_batch(images, self) or images.numel() > _FEW_PIXELS * self.in_channels:
            return super().forward(images)
        return _with_bias(pointwise(_as_computed(images), _as_computed(self.weight)), self.bias)


@lru_cache
def _depthwise(plain: Any) -> Any:
    """Return a class of depthwise convolutions; ``plain`` is what it was."""

    def forward(self: Any, images: Tensor) -> Tensor:
        if not _is_batch(images, self):
            single: Tensor = plain.forward(self, images)
            return single
        if plain is nn.Conv2d and _is_usual(self):
            weight = _as_computed(self.weight)
            return _with_bias(depthwise(_as_computed(images), weight, self.stride, self.padding), self.bias)
        with torch.autocast(images.device.type, enabled=False):
            result: Tensor = plain.forward(self, images.to(self.weight.dtype))
        return _as_computed(result)

    return type(f"Quick{plain.__name__}", (plain,), {"forward": forward, "plain": plain})


def _is_batch(images: Tensor, layer: nn.Conv2d) -> bool:
    """Tell whether these are images that the layer is for; all else PyTorch's own code takes or refuses."""
    return images.dim() == 4 and images.shape[1] == layer.in_channels and images.numel() > 0


def _is_usual(layer: nn.Conv2d) -> bool:
    usual = layer.padding_mode == "zeros" and layer.dilation == (1, 1) and layer.out_channels == layer.in_channels
    return usual and not isinstance(layer.padding, str)


def _as_computed(tensor: Tensor) -> Tensor:
    """Return a tensor in the format that autocast, if it is on, computes convolutions in."""
    kind = tensor.device.type
    return tensor.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else tensor


def _with_bias(images: Tensor, bias: Tensor | None) -> Tensor:
    return images if bias is None else images + bias.to(images.dtype)[:, None, None]
