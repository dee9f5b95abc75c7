"""Convolutions whose gradients are matrix products, where oneDNN's own kernels are slow.

All images have their channels last in memory, so that pixels are the rows of a matrix.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, one_hot

__all__ = ["depthwise", "pointwise"]

Sides = tuple[int, int]
# As many pairs of an input and an output pixel: beyond, most of them have no weight between them.
_MOST_PAIRS = 144 * 144
_BACKWARD: Any = torch.ops.aten.convolution_backward.default


def pointwise(images: Tensor, weight: Tensor) -> Tensor:
    """Convolve images (batch, channels, height, width) with a weight (out_channels, channels, 1, 1)."""
    result: Tensor = _Pointwise.apply(images, weight)
    return result


def depthwise(images: Tensor, weight: Tensor, stride: Sides, padding: Sides) -> Tensor:
    """Convolve each channel of images (batch, channels, height, width) with its own of (channels, 1, rows, columns)."""
    result: Tensor = _Depthwise.apply(images, weight, stride, padding)
    return result


class _Pointwise(torch.autograd.Function):
    """A product of all pixels and the weight."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(images, weight)
        return _images(_pixels(images) @ weight.flatten(1).t(), images.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        images, weight = ctx.saved_tensors
        of_images, of_weight = ctx.needs_input_grad
        rows = _pixels(gradient)
        return (
            _images(rows @ weight.flatten(1), images.shape) if of_images else None,
            (rows.t() @ _pixels(images)).view_as(weight) if of_weight else None,
        )


class _Depthwise(torch.autograd.Function):
    """A convolution whose gradients in bfloat16 are computed otherwise, where oneDNN has no kernel of its own for them.

    Without one it takes up to a hundred times as long.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: Sides, padding: Sides) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding = stride, padding
        return conv2d(images, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        images, weight = ctx.saved_tensors
        of_images, of_weight = ctx.needs_input_grad[:2]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        whole, window = tuple(images.shape[-2:]), tuple(weight.shape[-2:])
        found: list[Tensor | None] = [None, None]
        if of_images:
            # Of the images only their shape and format are looked at.
            kind = images.dtype if ctx.stride == (1, 1) else _at_least_single(images.dtype)
            found[0] = _gradients(ctx, gradient, torch.empty_like(images, dtype=kind), weight, kind)[0]
        if of_weight and window != (3, 3) and _pairs(whole, gradient) <= _MOST_PAIRS:
            found[1] = _by_pairs(images, gradient, _taps(whole, window, ctx.stride, ctx.padding)).view_as(weight)
        elif of_weight:
            kind = images.dtype if window == (3, 3) else _at_least_single(images.dtype)
            found[1] = _gradients(ctx, gradient, images, weight, kind, of_weight=True)[1]
        return (*found, None, None)  # type: ignore[return-value]


def _at_least_single(kind: torch.dtype) -> torch.dtype:
    return torch.promote_types(kind, torch.float32)


def _gradients(
    ctx: Any, gradient: Tensor, images: Tensor, weight: Tensor, kind: torch.dtype, *, of_weight: bool = False
) -> list[Tensor | None]:
    """Return the gradient of the images, or that of the weight, as oneDNN computes it in a format."""
    given = (gradient.to(kind), images.to(kind), weight.to(kind))
    wanted = [not of_weight, of_weight, False]
    found = _BACKWARD(*given, None, ctx.stride, ctx.padding, (1, 1), False, (0, 0), len(weight), wanted)
    return [one.to(images.dtype) if one is not None else None for one in found]


def _pairs(whole: Sides, gradient: Tensor) -> int:
    return whole[0] * whole[1] * gradient.shape[-2] * gradient.shape[-1]


def _by_pairs(images: Tensor, gradient: Tensor, taps: Tensor) -> Tensor:
    """Return the weight's gradient: how each input pixel goes with each output pixel, summed up for each weight."""
    pairs = torch.bmm(images.flatten(2).permute(1, 2, 0), gradient.flatten(2).permute(1, 0, 2))
    return pairs.flatten(1) @ taps.to(images.dtype)


@lru_cache(maxsize=32)
def _taps(size: Sides, window: Sides, stride: Sides, padding: Sides) -> Tensor:
    """Return which weight stands between an input and an output pixel: 0 or 1, (inputs * outputs, weights).

    All arguments are (height, width).
    """
    offsets = []
    for length, taps, step, around in zip(size, window, stride, padding, strict=True):
        outputs = (length + 2 * around - taps) // step + 1
        offsets.append(torch.arange(length)[:, None] - torch.arange(outputs)[None] * step + around)
    row, column = offsets[0][:, None, :, None], offsets[1][None, :, None, :]
    seen = (row >= 0) & (row < window[0]) & (column >= 0) & (column < window[1])
    weights = window[0] * window[1]
    # Where an output pixel does not see an input pixel, it is the weight behind all others, which is cut off.
    places = torch.where(seen, row * window[1] + column, weights)
    return one_hot(places.flatten(), weights + 1)[:, :weights].bfloat16()


def _pixels(images: Tensor) -> Tensor:
    """Return the pixels of images (batch, channels, height, width) as rows, (batch * height * width, channels)."""
    return images.permute(0, 2, 3, 1).reshape(-1, images.shape[1])


def _images(pixels: Tensor, shape: torch.Size) -> Tensor:
    """Return rows of pixels as images again, of as many and as large ones as ``shape`` tells."""
    batch, _, height, width = shape
    return pixels.view(batch, height, width, -1).permute(0, 3, 1, 2)
