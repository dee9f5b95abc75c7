"""What is drawn at random is drawn from torchvision's distributions, and what is enlarged has Pillow's pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision import transforms as tv

from tao_skill.config.dataset import ColorAugmentation, GaussianBlur, TrainData
from tao_skill.config.model import Input
from tao_skill.metric_learning.data.transforms import TrainTransform, crop_box, erase_box

Picture = Callable[..., NDArray[np.uint8]]
Floats = NDArray[np.float64]
DRAWS = 10_000
LONG = pytest.mark.long
# How far the empirical distributions of two samples of 10,000 draws may lie apart, in shares of all draws. Where the
# distributions are equal, one pair in 10,000 is further apart (Kolmogorov and Smirnov); the seeds are fixed.
APART = 0.032
# The same for means, in standard deviations, and for the ratio of variances to 1.
MEANS_APART, VARIANCES_APART = 0.05, 0.08


def assert_same_distribution(ours: Floats, theirs: Floats) -> None:
    """Compare means, variances and all quantiles of two samples of one value."""
    places = np.union1d(ours, theirs)
    shares = [np.searchsorted(np.sort(one), places, side="right") / len(one) for one in (ours, theirs)]
    assert np.abs(shares[0] - shares[1]).max() < APART
    if theirs.std() > 0:
        assert abs(ours.mean() - theirs.mean()) < MEANS_APART * theirs.std()
        assert abs(ours.var() / theirs.var() - 1) < VARIANCES_APART


def assert_same_boxes(ours: NDArray[np.int64], theirs: NDArray[np.int64], size: tuple[int, int]) -> None:
    """Compare boxes (draws, 4) in an image of (width, height)."""
    for own, right in zip(measures(ours, size), measures(theirs, size), strict=True):
        assert_same_distribution(own, right)


def measures(boxes: NDArray[np.int64], size: tuple[int, int]) -> list[Floats]:
    """Return the boxes' share of the image, aspect ratio, sides, places, and places in what is left beside them."""
    left, top, wide, high = boxes.T.astype(float)
    beside = left / np.maximum(size[0] - wide, 1), top / np.maximum(size[1] - high, 1)
    return [wide * high / (size[0] * size[1]), np.log(wide / high), wide, high, left, top, *beside]


@pytest.mark.parametrize(
    "size", [(64, 64), *(pytest.param(size, marks=LONG) for size in ((200, 30), (30, 200), (97, 61)))]
)
def test_crop_boxes_are_distributed_like_torchvisions(size: tuple[int, int]) -> None:
    width, height = size
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    canvas = torch.empty(3, height, width)
    peer = [tv.RandomResizedCrop.get_params(canvas, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(DRAWS)]
    theirs = np.array([(left, top, wide, high) for top, left, high, wide in peer])
    ours = np.array([crop_box(width, height, rng) for _ in range(DRAWS)])
    assert_same_boxes(ours, theirs, size)
    assert (ours >= 0).all()
    assert (ours[:, 0] + ours[:, 2] <= width).all()
    assert (ours[:, 1] + ours[:, 3] <= height).all()


@pytest.mark.parametrize("size", [(60, 40), pytest.param((48, 96), marks=LONG)])
def test_erased_boxes_are_distributed_like_torchvisions(size: tuple[int, int]) -> None:
    width, height = size
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    canvas = torch.empty(3, height, width)
    peer = [tv.RandomErasing.get_params(canvas, (0.02, 0.33), (0.3, 3.3), [0.0]) for _ in range(DRAWS)]
    theirs = np.array([(left, top, wide, high) for top, left, high, wide, _ in peer])
    ours = np.array([erase_box(width, height, rng) for _ in range(DRAWS)])
    assert_same_boxes(ours, theirs, size)


@pytest.mark.parametrize("probability", [0.25, pytest.param(0.8, marks=LONG)])
def test_the_whole_transform_erases_as_often_and_as_much_as_torchvisions(probability: float) -> None:
    side, ones = 24, torch.ones(3, 24, 24)
    torch.manual_seed(0)
    peer = tv.RandomErasing(probability)
    theirs = np.array([float((peer(ones) == 0).all(dim=0).float().mean()) for _ in range(DRAWS)])
    ours = erased_shares(probability, side)
    # Five standard deviations of the difference of two shares, at most.
    assert abs((ours > 0).mean() - (theirs > 0).mean()) < 5 * (2 * 0.25 / DRAWS) ** 0.5
    assert abs((ours > 0).mean() - probability) < 5 * (0.25 / DRAWS) ** 0.5
    assert_same_distribution(ours, theirs)


def erased_shares(probability: float, side: int) -> Floats:
    """Return which share of a white image the training transform erases, in each of its draws."""
    plain: dict[str, Any] = {
        "gaussian_blur": GaussianBlur(enabled=False),
        "color_augmentation": ColorAugmentation(enabled=False),
    }
    transform = TrainTransform(TrainData(prob=0.0, re_prob=probability, **plain), Input(side, side, 3))
    white, out = np.full((side, side, 3), 255, dtype=np.uint8), np.empty((side, side, 3), dtype=np.float32)
    rng, shares = np.random.default_rng(0), np.empty(DRAWS)
    for draw in range(DRAWS):
        transform(white, out, rng)
        shares[draw] = (out == 0).all(axis=2).mean()
    return shares


@pytest.mark.parametrize("output", [(32, 32), (45, 80), (224, 224)])
@pytest.mark.parametrize("image_size", [(31, 17), (12, 30), (3, 2), (1, 1), (32, 32)])
@pytest.mark.parametrize("channels", [1, 3])
def test_enlarged_crops_have_pillows_pixels(
    picture: Picture, image_size: tuple[int, int], output: tuple[int, int], channels: int
) -> None:
    """Within 2 of 255 levels, whatever the box: no side of these crops is larger than the output's."""
    pixels = picture(5, *image_size)[:, :, :channels]
    # Normalisation that maps levels to levels.
    data = TrainData(
        prob=0.0,
        re_prob=0.0,
        pixel_mean=[0.0],
        pixel_std=[1 / 255],
        gaussian_blur=GaussianBlur(enabled=False),
        color_augmentation=ColorAugmentation(enabled=False),
    )
    transform = TrainTransform(data, Input(*output, channels))
    out = np.empty((output[1], output[0], channels), dtype=np.float32)
    image = Image.fromarray(pixels if channels == 3 else pixels[:, :, 0])
    for seed in range(20):
        transform(pixels, out, np.random.default_rng(seed))
        left, top, wide, high = crop_box(*image_size, np.random.default_rng(seed))
        box = image.crop((left, top, left + wide, top + high))
        expected = np.asarray(box.resize(output, Image.Resampling.BILINEAR), dtype=np.float32).reshape(out.shape)
        assert np.abs(out - expected).max() <= 2.0
