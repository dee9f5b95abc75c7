"""Turn decoded images into what the model takes, at random for training and fixed for everything else.

The training pipeline draws from the same distributions as torchvision's transforms on PIL images, in this order:
RandomResizedCrop, RandomHorizontalFlip, RandomRotation(0..180), ColorJitter, GaussianBlur, normalise, RandomErasing.
Sizes are changed by PyTorch's antialiased kernel for bytes, which gives Pillow's pixels within 2 levels in a third of
the time; crops that are only enlarged are OpenCV's, as colours are. All randomness comes from the generator given.
Results are written into the batch they belong to, with the channels last: no copy, no change of layout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tao_skill.config.dataset import ColorAugmentation, TrainData
from tao_skill.config.model import Input
from tao_skill.errors import Problem, SpecError
from tao_skill.metric_learning.data import colour

__all__ = ["EvalTransform", "TrainTransform"]

Image8 = NDArray[np.uint8]
Values = NDArray[np.float32]
Box = tuple[int, int, int, int]  # left, top, width, height in pixels
Jitter = tuple[Callable[[Image8, float], Image8], float, float]  # what to do, smallest and largest factor

_CROP_AREA, _CROP_RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
_ERASE_AREA, _ERASE_RATIO = (0.02, 0.33), (0.3, 3.3)
_ATTEMPTS = 10
_RESIZE_MARGIN = 1.14  # evaluation resizes to this much more than the input and cuts the centre out


class TrainTransform:
    """Crop, flip, rotate, recolour, blur, normalise and erase at random, as the spec says."""

    def __init__(self, dataset: TrainData, model: Input) -> None:
        self.size = (model.input_width, model.input_height)
        self.channels: int = model.input_channels
        self._normalise = _Normalise(dataset.pixel_mean, dataset.pixel_std, self.channels)
        self._flip, self._erase, self._rotate = dataset.prob, dataset.re_prob, dataset.random_rotation
        blur = dataset.gaussian_blur
        self._kernel, self._sigma = (list(blur.kernel) if blur.enabled else []), tuple(blur.sigma)
        self._jitter = _jitter_ranges(dataset.color_augmentation)

    def __call__(self, image: Image8, out: Values, rng: np.random.Generator) -> None:
        """Map uint8 ``(height, width, channels)`` to float32 ``(input_height, input_width, channels)``."""
        image = _with_channels(image, self.channels)
        height, width, _ = image.shape
        left, top, wide, high = crop_box(width, height, rng)
        pixels = _crop_resized(image[top : top + high, left : left + wide], self.size)
        if rng.random() < self._flip:
            pixels = _like(cv2.flip(pixels, 1), pixels)
        if self._rotate:
            pixels = _pixels(_picture(pixels).rotate(rng.uniform(0.0, 180.0)), self.channels)
        pixels = self._recolour(pixels, rng)
        if self._kernel:
            pixels = colour.gaussian_blur(pixels, self._kernel, rng.uniform(self._sigma[0], self._sigma[-1]))
        self._normalise(pixels, out)
        if rng.random() < self._erase:
            left, top, wide, high = erase_box(*self.size, rng)
            out[top : top + high, left : left + wide] = 0.0

    def _recolour(self, pixels: Image8, rng: np.random.Generator) -> Image8:
        if not self._jitter:
            return pixels
        for which in rng.permutation(len(self._jitter)):
            adjust, low, high = self._jitter[which]
            pixels = adjust(pixels, rng.uniform(low, high))
        return pixels


class EvalTransform:
    """Resize to 1.14 times the input's size, both sides, cut out the centre, normalise."""

    def __init__(
        self,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        input_width: int,
        input_height: int,
        input_channels: int = 3,
    ) -> None:
        self.size = (input_width, input_height)
        self.channels = input_channels
        self._resized_width, self._left = _resized_and_start(input_width)
        self._resized_height, self._top = _resized_and_start(input_height)
        self._normalise = _Normalise(pixel_mean, pixel_std, input_channels)

    def __call__(self, image: Image8, out: Values) -> None:
        """Map uint8 ``(height, width, channels)`` to float32 ``(input_height, input_width, channels)``."""
        image = _with_channels(image, self.channels)
        resized = _resized(image, (self._resized_width, self._resized_height))
        width, height = self.size
        pixels = resized[self._top : self._top + height, self._left : self._left + width]
        self._normalise(pixels, out)

    def tensor(self, image: Image8) -> torch.Tensor:
        """Return what `__call__` writes as a tensor (channels, input_height, input_width) of its own."""
        width, height = self.size
        out = np.empty((height, width, self.channels), dtype=np.float32)
        self(image, out)
        return torch.from_numpy(out).permute(2, 0, 1)

    def geometry(self) -> dict[str, Any]:
        """Return the resize and crop rule as plain data, for whoever embeds with an exported model elsewhere."""
        width, height = (round(side * _RESIZE_MARGIN) for side in self.size)
        return {
            "resize_width": width,
            "resize_height": height,
            "resampling": "bilinear, antialiased",
            "crop": "centre",
            "channel_order": "RGB" if self.channels == 3 else "gray",
        }


class _Normalise:
    """Map uint8 ``(h, w, c)`` to float32 of the same shape: (value / 255 - mean) / std.

    One mean serves all channels; for a gray model three means and deviations are averaged.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], channels: int) -> None:
        if channels not in (1, 3):
            problem = Problem("model.input_channels", channels, "3 (colour) or 1 (gray)")
            raise SpecError("the model's input can't be made", problems=[problem], next_step="correct the spec")
        means = _per_channel("dataset.pixel_mean", mean, channels)
        deviations = _per_channel("dataset.pixel_std", std, channels)
        self._matrix = np.column_stack([np.diag(1.0 / (255.0 * deviations)), -means / deviations]).astype(np.float32)

    def __call__(self, pixels: Image8, out: Values) -> None:
        cv2.transform(pixels.astype(np.float32), self._matrix, dst=out)


def crop_box(width: int, height: int, rng: np.random.Generator) -> Box:
    """Draw a box with an area of 8 % to 100 % of the image and an aspect ratio of 3:4 to 4:3."""
    for _ in range(_ATTEMPTS):
        area, ratio = width * height * rng.uniform(*_CROP_AREA), _draw_ratio(_CROP_RATIO, rng)
        wide, high = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < high <= height:
            return int(rng.integers(width - wide + 1)), int(rng.integers(height - high + 1)), wide, high
    # The image is too narrow or too flat for such boxes: the largest central one that has an allowed ratio.
    wide = min(width, max(1, round(height * _CROP_RATIO[1])))
    high = min(height, max(1, round(width / _CROP_RATIO[0])))
    return (width - wide) // 2, (height - high) // 2, wide, high


def erase_box(width: int, height: int, rng: np.random.Generator) -> Box:
    """Draw a box with an area of 2 % to 33 % and an aspect ratio (height to width) of 0.3 to 3.3; else an empty one."""
    for _ in range(_ATTEMPTS):
        area, ratio = width * height * rng.uniform(*_ERASE_AREA), _draw_ratio(_ERASE_RATIO, rng)
        high, wide = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if wide < width and high < height:
            return int(rng.integers(width - wide + 1)), int(rng.integers(height - high + 1)), wide, high
    return 0, 0, 0, 0


def _draw_ratio(limits: tuple[float, float], rng: np.random.Generator) -> float:
    return math.exp(rng.uniform(math.log(limits[0]), math.log(limits[1])))


def _jitter_ranges(augmentation: ColorAugmentation) -> list[Jitter]:
    """Return each colour change that has an effect, with the range its factor is drawn from."""
    if not augmentation.enabled:
        return []
    factors: list[tuple[Callable[[Image8, float], Image8], float]] = [
        (colour.adjust_brightness, augmentation.brightness),
        (colour.adjust_contrast, augmentation.contrast),
        (colour.adjust_saturation, augmentation.saturation),
    ]
    ranges = [(adjust, max(0.0, 1.0 - share), 1.0 + share) for adjust, share in factors if share > 0]
    if augmentation.hue > 0:
        ranges.append((colour.adjust_hue, -augmentation.hue, augmentation.hue))
    return ranges


def _resized_and_start(size: int) -> tuple[int, int]:
    """Return what a side is resized to, and where the centre crop of that size begins in it."""
    resized = round(size * _RESIZE_MARGIN)
    return resized, round((resized - size) / 2.0)


def _per_channel(key: str, values: Sequence[float], channels: int) -> NDArray[np.float64]:
    given = np.asarray(values, dtype=np.float64)
    if channels == 1:
        given = given.mean(keepdims=True)
    if given.size not in (1, channels):
        problem = Problem(key, list(values), f"one value, or {channels}, one for each channel")
        raise SpecError("pixels can't be normalised", problems=[problem], next_step="correct the spec")
    return np.broadcast_to(given, (channels,)).copy()


def _with_channels(image: Image8, channels: int) -> Image8:
    if image.shape[2] == channels:
        return image
    code = cv2.COLOR_RGB2GRAY if channels == 1 else cv2.COLOR_GRAY2RGB
    return np.asarray(cv2.cvtColor(image, code), dtype=np.uint8).reshape(*image.shape[:2], channels)


def _crop_resized(image: Image8, size: tuple[int, int]) -> Image8:
    """Resize a crop to (width, height), in a fifth of the time where neither side shrinks: nothing is to be filtered
    there, and OpenCV's pixels are Pillow's within one level.
    """
    height, width, channels = image.shape
    if width > size[0] or height > size[1]:
        return _resized(image, size)
    larger = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(larger, dtype=np.uint8).reshape(size[1], size[0], channels)


def _resized(image: Image8, size: tuple[int, int]) -> Image8:
    """Resize to (width, height) as Pillow's antialiased bilinear filter does."""
    writable = image if image.flags.writeable else image.copy()  # torch warns of others
    planes = torch.from_numpy(writable).permute(2, 0, 1).unsqueeze(0)
    scaled = torch.nn.functional.interpolate(planes, (size[1], size[0]), mode="bilinear", antialias=True)
    return np.ascontiguousarray(scaled[0].permute(1, 2, 0).numpy())


def _like(result: object, image: Image8) -> Image8:
    """Give back the channel axis that OpenCV drops from one-channel images."""
    return np.asarray(result, dtype=np.uint8).reshape(image.shape)


def _picture(image: Image8) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image if image.shape[2] == 3 else image[:, :, 0]))


def _pixels(picture: Image.Image, channels: int) -> Image8:
    return np.asarray(picture, dtype=np.uint8).reshape(picture.height, picture.width, channels)
