"""Photograph-like JPEG files for benchmarks: made on the spot, the same at each call."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["make_classes", "picture"]

_GRAIN = 8.0  # levels of noise, so that files are as large as photographs of that size


def picture(label: int, number: int, width: int, height: int) -> NDArray[np.uint8]:
    """Return smooth shapes in the colours of a class, with noise, (height, width, 3)."""
    shapes = np.random.default_rng(label).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    noise = np.random.default_rng([label, number]).normal(0, _GRAIN, (height, width, 3))
    smooth = cv2.resize(shapes, (width, height), interpolation=cv2.INTER_CUBIC)
    pixels: NDArray[np.uint8] = (smooth + noise).clip(0, 255).astype(np.uint8)
    return pixels


def make_classes(root: Path, classes: int, images: int, width: int, height: int) -> Path:
    """Write so many JPEG files in each of so many class folders, and return the root."""
    for label in range(classes):
        folder = root / f"class_{label:04d}"
        folder.mkdir(parents=True)
        for number in range(images):
            cv2.imwrite(str(folder / f"{number}.jpg"), picture(label, number, width, height))
    return root
