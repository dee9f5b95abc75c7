from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision import transforms as tv

from tao_skill.config.dataset import ColorAugmentation, GaussianBlur, TrainData
from tao_skill.config.model import Input
from tao_skill.errors import SpecError
from tao_skill.metric_learning.data import colour
from tao_skill.metric_learning.data.transforms import EvalTransform, TrainTransform, crop_box

Picture = Callable[..., NDArray[np.uint8]]
MEAN, STD = [0.485, 0.456, 0.406], [0.226, 0.226, 0.226]
OFF: dict[str, Any] = {
    "gaussian_blur": GaussianBlur(enabled=False),
    "color_augmentation": ColorAugmentation(enabled=False),
}


def augmented(transform: TrainTransform, pixels: NDArray[np.uint8], seed: int | list[int]) -> torch.Tensor:
    """Return what the transform writes, as (channels, height, width)."""
    out = np.full((transform.size[1], transform.size[0], transform.channels), np.nan, dtype=np.float32)
    transform(pixels, out, np.random.default_rng(seed))
    return torch.from_numpy(out).permute(2, 0, 1)


def train_transform(width: int = 32, height: int = 32, channels: int = 3, **data: Any) -> TrainTransform:
    return TrainTransform(TrainData(**data), Input(width, height, channels))


@pytest.mark.parametrize("size", [(32, 32), (48, 20), (21, 64)])
@pytest.mark.parametrize("image_size", [(50, 40), (16, 90), (200, 150)])
def test_evaluation_equals_torchvision(picture: Picture, size: tuple[int, int], image_size: tuple[int, int]) -> None:
    width, height = size
    pixels = picture(1, *image_size)
    peer = tv.Compose(
        [
            tv.Resize((round(height * 1.14), round(width * 1.14))),
            tv.CenterCrop((height, width)),
            tv.ToTensor(),
            tv.Normalize(MEAN, STD),
        ]
    )
    got = EvalTransform(MEAN, STD, width, height, 3).tensor(pixels)
    assert got.shape == (3, height, width)
    assert got.dtype == torch.float32
    difference = (got - peer(Image.fromarray(pixels))).abs() * 0.226 * 255
    assert difference.max() <= 2.01
    assert difference.mean() <= 0.3


def test_shapes_are_channels_height_width(picture: Picture) -> None:  # 8.10
    for channels in (1, 3):
        for pixels in (picture(1, 30, 20), picture(1, 30, 20)[:, :, :1]):
            for got in (
                augmented(train_transform(32, 24, channels), pixels, 0),
                EvalTransform(MEAN, STD, 32, 24, channels).tensor(pixels),
            ):
                assert got.shape == (channels, 24, 32)
                assert got.isfinite().all()


def test_tiny_images_and_large_kernels_work() -> None:
    transform = train_transform(16, 16, random_rotation=True, gaussian_blur=GaussianBlur(kernel=[31, 31]))
    for shape in ((1, 1, 3), (1, 40, 3), (40, 1, 3)):
        pixels = np.full(shape, 9, dtype=np.uint8)
        assert augmented(transform, pixels, 1).isfinite().all()
        assert EvalTransform(MEAN, STD, 16, 16).tensor(pixels).isfinite().all()


def test_the_generator_decides_everything(picture: Picture) -> None:
    transform, pixels = train_transform(random_rotation=True), picture(2, 40, 30)
    torch.manual_seed(0)
    np.random.seed(0)
    first = augmented(transform, pixels, 5)
    state = torch.get_rng_state()
    again = augmented(transform, pixels, 5)
    assert torch.equal(first, again)
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first, augmented(transform, pixels, 6))


def test_cropping_alone_equals_torchvision_for_the_same_box(picture: Picture) -> None:
    pixels = picture(3, 60, 50)
    for seed in range(5):
        got = augmented(train_transform(32, 24, prob=0.0, re_prob=0.0, **OFF), pixels, seed)
        left, top, wide, high = crop_box(60, 50, np.random.default_rng(seed))
        expected = tv.functional.resized_crop(Image.fromarray(pixels), top, left, high, wide, [24, 32])
        expected = tv.functional.normalize(tv.functional.to_tensor(expected), MEAN, STD)
        difference = (got - expected).abs() * 0.226 * 255
        assert difference.max() <= 2.01
        assert difference.mean() <= 0.3


def test_rotation_is_from_0_to_180_degrees_and_equals_torchvisions(picture: Picture) -> None:
    pixels = picture(3, 60, 50)
    for seed in range(5):
        got = augmented(train_transform(32, 24, prob=0.0, re_prob=0.0, random_rotation=True, **OFF), pixels, seed)
        rng = np.random.default_rng(seed)
        left, top, wide, high = crop_box(60, 50, rng)
        rng.random()  # whether to flip
        expected = tv.functional.resized_crop(Image.fromarray(pixels), top, left, high, wide, [24, 32])
        expected = tv.functional.rotate(expected, rng.uniform(0.0, 180.0))
        expected = tv.functional.normalize(tv.functional.to_tensor(expected), MEAN, STD)
        assert (got - expected).abs().max() * 0.226 * 255 <= 2.01


@pytest.mark.parametrize(("draws", "tolerance"), [(400, 0.08), pytest.param(10_000, 0.02, marks=pytest.mark.long)])
def test_the_whole_pipeline_is_distributed_like_torchvisions(picture: Picture, draws: int, tolerance: float) -> None:
    torch.manual_seed(0)
    pixels = picture(7, 48, 40)
    jitter = ColorAugmentation(brightness=0.5, contrast=0.3, saturation=0.8, hue=0.2)
    ours = train_transform(24, 24, random_rotation=True, color_augmentation=jitter)
    peer = tv.Compose(
        [
            tv.RandomResizedCrop((24, 24)),
            tv.RandomHorizontalFlip(0.5),
            tv.RandomRotation((0, 180)),
            tv.ColorJitter(0.5, 0.3, 0.8, 0.2),
            tv.GaussianBlur([15, 15], (0.3, 0.7)),
            tv.ToTensor(),
            tv.Normalize(MEAN, STD),
            tv.RandomErasing(0.5),
        ]
    )
    image = Image.fromarray(pixels)
    expected = torch.stack([peer(image) for _ in range(draws)])
    got = torch.stack([augmented(ours, pixels, [1, i]) for i in range(draws)])
    for statistic in (torch.mean, torch.std):
        assert (statistic(got, dim=(0, 2, 3)) - statistic(expected, dim=(0, 2, 3))).abs().max() < tolerance
        assert (statistic(got, dim=0) - statistic(expected, dim=0)).abs().mean() < 1.5 * tolerance
    ours_power, their_power = (torch.fft.rfft2(batch).abs().mean(dim=(0, 1)) for batch in (got, expected))
    assert (ours_power / their_power - 1).abs().mean() < tolerance
    erased = [(batch == 0).all(dim=1).float().mean() for batch in (got, expected)]
    assert (erased[0] - erased[1]).abs() < tolerance / 2


def test_each_setting_is_read(picture: Picture) -> None:
    pixels = picture(4, 40, 40)

    def result(**data: Any) -> torch.Tensor:
        return augmented(train_transform(**(OFF | {"prob": 0.0, "re_prob": 0.0} | data)), pixels, 3)

    plain = result()
    quiet: dict[str, Any] = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    changes: list[dict[str, Any]] = [
        {"prob": 1.0},
        {"re_prob": 1.0},
        {"random_rotation": True},
        {"gaussian_blur": GaussianBlur(sigma=[2.0, 3.0])},
        {"pixel_mean": [0.1, 0.2, 0.3]},
        {"pixel_std": [0.5]},
        *({"color_augmentation": ColorAugmentation(**(quiet | {name: 0.5}))} for name in quiet),
    ]
    results = [result(**change) for change in changes]
    assert all(not torch.equal(plain, other) for other in results)
    assert torch.equal(plain, result(color_augmentation=ColorAugmentation(**quiet)))
    assert torch.equal(plain.flip(2), results[0])


def test_colour_changes_come_in_every_order_with_factors_from_their_ranges(
    picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, float]] = []
    names = ("adjust_brightness", "adjust_contrast", "adjust_saturation", "adjust_hue")
    for name in names:

        def record(image: NDArray[np.uint8], factor: float, name: str = name) -> NDArray[np.uint8]:
            calls.append((name, factor))
            return image

        monkeypatch.setattr(colour, name, record)
    shares = ColorAugmentation(brightness=0.5, contrast=0.3, saturation=1.5, hue=0.1)
    transform, pixels = train_transform(16, 16, color_augmentation=shares), picture(1)
    for i in range(600):
        augmented(transform, pixels, [4, i])
    orders = Counter(tuple(name for name, _ in calls[i : i + 4]) for i in range(0, len(calls), 4))
    assert set(orders) == set(permutations(names))
    limits = dict(zip(names, [(0.5, 1.5), (0.7, 1.3), (0.0, 2.5), (-0.1, 0.1)], strict=True))
    for name, (low, high) in limits.items():
        factors = [factor for called, factor in calls if called == name]
        assert low <= min(factors) < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < max(factors) <= high
        assert abs(np.mean(factors) - (low + high) / 2) < 0.05 * (high - low)


def test_flips_and_erasing_happen_as_often_as_told() -> None:
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:, 16:] = 255
    transform = train_transform(prob=0.25, re_prob=0.0, **OFF)
    flipped = 0
    for i in range(400):
        row = augmented(transform, pixels, [2, i])[0].mean(dim=0)
        flipped += bool(row[0] > row[-1])
    assert 40 <= flipped <= 130  # some crops are all black or all white
    erase = train_transform(prob=0.0, re_prob=0.25, pixel_mean=[-1.0], **OFF)
    erased = sum(bool((augmented(erase, pixels, [3, i]) == 0).any()) for i in range(400))
    assert 70 <= erased <= 130


def test_gray_models_average_the_pixel_statistics() -> None:
    gray = np.full((20, 20, 1), 51, dtype=np.uint8)
    got = EvalTransform([0.1, 0.2, 0.3], [0.4, 0.5, 0.6], 16, 16, 1).tensor(gray)
    assert torch.allclose(got, torch.full((1, 16, 16), (0.2 - 0.2) / 0.5), atol=1e-6)
    assert torch.allclose(EvalTransform([0.1], [0.5], 16, 16, 3).tensor(gray), torch.full((3, 16, 16), 0.2), atol=1e-6)


def test_impossible_channels_and_statistics_are_refused() -> None:
    with pytest.raises(SpecError, match="input_channels"):
        EvalTransform(MEAN, STD, 16, 16, 2)
    with pytest.raises(SpecError, match="pixel_std"):
        EvalTransform(MEAN, [0.2, 0.2], 16, 16, 3)
