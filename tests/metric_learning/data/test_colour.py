from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import functional

from tao_skill.metric_learning.data import colour

Picture = Callable[..., NDArray[np.uint8]]
Adjust = Callable[[NDArray[np.uint8], float], NDArray[np.uint8]]

PAIRS = [
    (colour.adjust_brightness, functional.adjust_brightness, (0.0, 0.5, 1.0, 1.5, 3.0)),
    (colour.adjust_contrast, functional.adjust_contrast, (0.0, 0.7, 1.0, 1.3, 3.0)),
    (colour.adjust_saturation, functional.adjust_saturation, (0.0, 0.9, 1.0, 1.1, 3.0)),
    (colour.adjust_hue, functional.adjust_hue, (-0.5, -0.1, 0.0, 0.1, 0.37, 0.5)),
]


@pytest.mark.parametrize(("ours", "theirs", "factors"), PAIRS)
def test_colour_changes_equal_torchvision_on_pillow(
    picture: Picture, ours: Adjust, theirs: Callable[..., Image.Image], factors: tuple[float, ...]
) -> None:
    for seed, factor in enumerate(factors):
        pixels = picture(seed, 64, 48)
        expected = np.asarray(theirs(Image.fromarray(pixels), factor)).astype(float)
        before = pixels.copy()
        assert np.abs(ours(pixels, factor) - expected).mean() <= 2.0
        assert np.array_equal(pixels, before)
        if abs(factor - 1.0) > 0.3 and ours is not colour.adjust_hue:
            assert np.abs(pixels - expected).mean() > 2.0  # so that doing nothing would fail


@pytest.mark.parametrize("sigma", [0.3, 0.5, 0.7, 2.0])
@pytest.mark.parametrize("kernel", [[15, 15], [5, 9], [3, 3]])
def test_blur_equals_torchvision(kernel: list[int], sigma: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    expected = np.asarray(functional.gaussian_blur(Image.fromarray(pixels), kernel, [sigma, sigma])).astype(float)
    got = colour.gaussian_blur(pixels, kernel, sigma)
    assert np.abs(got - expected).max() <= 2.0
    assert np.abs(got - expected).mean() <= 0.6


def test_one_channel_images_keep_their_axis_and_have_no_colour(picture: Picture) -> None:
    gray = picture(1)[:, :, :1].copy()
    for adjust in (colour.adjust_brightness, colour.adjust_contrast):
        expected = getattr(functional, adjust.__name__)(Image.fromarray(gray[..., 0]), 0.6)
        assert np.abs(adjust(gray, 0.6)[..., 0] - np.asarray(expected).astype(float)).max() <= 1
    assert np.array_equal(colour.adjust_saturation(gray, 0.2), gray)
    assert np.array_equal(colour.adjust_hue(gray, 0.2), gray)
    assert colour.gaussian_blur(gray, [15, 15], 0.7).shape == gray.shape


def test_a_kernel_larger_than_the_image_does_not_fail() -> None:
    tiny = np.full((1, 2, 3), 7, dtype=np.uint8)
    assert np.array_equal(colour.gaussian_blur(tiny, [31, 31], 9.0), tiny)
