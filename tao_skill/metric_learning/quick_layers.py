"""Convolutions that training computes in another way on CPUs, where that is quicker: same weights, same result.

- One of 1×1 over a single pixel is a linear layer. oneDNN takes eight times as long for it as a matrix product does.
- A depthwise one whose kernel is larger than its image mostly multiplies with the padding around it. As one small
  matrix for each channel, from all input to all output pixels, it takes a third of the time.
- Other depthwise ones compute in float32 also under autocast: their backward pass takes twice as long in bfloat16.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

__all__ = ["is_depthwise", "made_plain", "make_quick"]

_Network = TypeVar("_Network", bound=nn.Module)
_Sides = tuple[int, int]


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
    """A convolution of 1×1 that is a linear layer where there is but one pixel."""

    plain = nn.Conv2d

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to (batch, out_channels, height, width)."""
        if images.shape[-2:] != (1, 1):
            return super().forward(images)
        return linear(images.flatten(1), self.weight.flatten(1), self.bias)[..., None, None]


@lru_cache
def _depthwise(plain: Any) -> Any:
    """Return a class of depthwise convolutions; ``plain`` is what it was."""

    def forward(self: Any, images: Tensor) -> Tensor:
        if plain is nn.Conv2d and _is_larger_than(self, images):
            return _by_matrices(self, images)
        with torch.autocast(images.device.type, enabled=False):
            result: Tensor = plain.forward(self, images.float())
        return result.to(images.dtype)

    return type(f"Quick{plain.__name__}", (plain,), {"forward": forward, "plain": plain})


def _is_larger_than(layer: nn.Conv2d, images: Tensor) -> bool:
    """Tell whether a layer's kernel is larger than its images, and nothing else is unusual in it."""
    usual = layer.padding_mode == "zeros" and layer.dilation == (1, 1) and layer.out_channels == layer.in_channels
    larger = all(kernel > side for kernel, side in zip(layer.kernel_size, images.shape[-2:], strict=True))
    return usual and larger and not isinstance(layer.padding, str)


def _by_matrices(layer: Any, images: Tensor) -> Tensor:
    batch, channels, height, width = images.shape
    places, out_height, out_width = _places((height, width), layer.kernel_size, layer.stride, layer.padding)
    # Where an output pixel does not see an input pixel, the weight is the 0 behind all others.
    weights = pad(layer.weight.flatten(1), (0, 1)).index_select(1, places.to(images.device).flatten())
    matrices = weights.view(channels, *places.shape)
    found = torch.bmm(images.flatten(2).permute(1, 0, 2), matrices).permute(1, 0, 2)
    found = found.reshape(batch, channels, out_height, out_width)
    if layer.bias is not None:
        found = found + layer.bias[:, None, None]
    return found.contiguous(memory_format=torch.channels_last)


@lru_cache(maxsize=64)
def _places(size: _Sides, kernel: _Sides, stride: _Sides, padding: _Sides) -> tuple[Tensor, int, int]:
    """Return which weight stands between each input and output pixel, (inputs, outputs), and the output's size.

    All are (height, width).
    """
    sides, offsets = [], []
    with torch.inference_mode(False):  # a later call may be one to learn from
        for length, window, step, around in zip(size, kernel, stride, padding, strict=True):
            sides.append((length + 2 * around - window) // step + 1)
            offsets.append(torch.arange(length)[:, None] - torch.arange(sides[-1])[None] * step + around)
        row, column = offsets[0][:, None, :, None], offsets[1][None, :, None, :]
        seen = (row >= 0) & (row < kernel[0]) & (column >= 0) & (column < kernel[1])
        places = torch.where(seen, row * kernel[1] + column, kernel[0] * kernel[1])
        return places.reshape(size[0] * size[1], sides[0] * sides[1]), sides[0], sides[1]
