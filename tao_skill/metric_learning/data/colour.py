"""Change brightness, contrast, saturation, hue and sharpness of uint8 images; fast, and equal to torchvision's on PIL.

Images are ``(height, width, channels)`` with 1 or 3 channels (RGB). A factor of 1 changes nothing; hue shifts are
shares of the colour circle, from -0.5 to 0.5. No function changes its argument.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["adjust_brightness", "adjust_contrast", "adjust_hue", "adjust_saturation", "gaussian_blur"]

Image8 = NDArray[np.uint8]

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R 601, as Pillow's "L"
_LEVELS = np.arange(256, dtype=np.float32)


def adjust_brightness(image: Image8, factor: float) -> Image8:
    """Blend the image with black."""
    return _blended_with(image, 0.0, factor)


def adjust_contrast(image: Image8, factor: float) -> Image8:
    """Blend the image with its mean luma."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.shape[2] == 3 else image
    return _blended_with(image, float(int(cv2.mean(gray)[0] + 0.5)), factor)


def adjust_saturation(image: Image8, factor: float) -> Image8:
    """Blend the image with its own gray version; a gray image stays as it is."""
    if image.shape[2] == 1:
        return image
    matrix = factor * np.eye(3, dtype=np.float32) + (1.0 - factor) * _LUMA
    return _bytes(cv2.transform(image, matrix), image)


def adjust_hue(image: Image8, shift: float) -> Image8:
    """Turn the hue by a share of the circle, in 256 steps; a gray image stays as it is."""
    if image.shape[2] == 1:
        return image
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(int(shift * 255) % 256)  # wraps around, as the circle does
    return _bytes(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL), image)


def gaussian_blur(image: Image8, kernel: Sequence[int], sigma: float) -> Image8:
    """Blur with a kernel of ``(width, height)`` pixels, odd, and a standard deviation in pixels; borders reflect.

    Taps beyond four standard deviations are left out: together they weigh less than a quarter of a grey level.
    """
    horizontal, vertical = (cv2.getGaussianKernel(_taps(size, sigma), sigma) for size in (kernel[0], kernel[-1]))
    return _bytes(cv2.sepFilter2D(image, -1, horizontal, vertical, borderType=cv2.BORDER_REFLECT_101), image)


def _taps(size: int, sigma: float) -> int:
    return min(size, 2 * int(np.ceil(4 * sigma)) + 1)


def _blended_with(image: Image8, level: float, factor: float) -> Image8:
    table = np.clip(level + factor * (_LEVELS - level), 0, 255).astype(np.uint8)
    return _bytes(cv2.LUT(image, table), image)


def _bytes(result: object, like: Image8) -> Image8:
    """Give back the channel axis that OpenCV drops from one-channel images."""
    return np.asarray(result, dtype=np.uint8).reshape(like.shape)
