"""Real scans: the handwritten digits that scikit-learn ships, enlarged from 8x8 pixels."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from tools.demo_data.layout import ImageCounts, Picture

__all__ = ["NAMES", "DigitsSize", "digit_pictures"]

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
KNOWN = 7  # training never sees seven, eight and nine
SIDE = 64
_DARKEST = 16


@dataclass(frozen=True, kw_only=True)
class DigitsSize(ImageCounts):
    """How many scans of each digit go where, in the order in which people wrote them."""

    reference: int = 10
    train: int = 90
    val: int = 25
    test: int = 50
    unknown_test: int = 160


def digit_pictures(size: DigitsSize) -> Iterator[Picture]:
    """Yield the scans as black ink on white paper; no scan is in two archives."""
    images, labels = load_digits(return_X_y=True)
    for digit, name in enumerate(NAMES):
        scans = iter(np.flatnonzero(labels == digit).tolist())
        for part, count in size.parts(digit < KNOWN).items():
            for _ in range(count):
                scan = next(scans)
                yield Picture(part, name, f"{scan:04d}.png", _png(images[scan].reshape(8, 8)))


def _png(ink: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> bytes:
    paper = Image.fromarray(np.round(255 - ink * (255 / _DARKEST)).astype(np.uint8))
    stream = io.BytesIO()
    paper.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(stream, "PNG")
    return stream.getvalue()
