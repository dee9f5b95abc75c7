"""Real images on which an exported model is compared with the one it came from."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor

from tao_skill.config.placeholder import is_given
from tao_skill.metric_learning.data.batches import Batches, usable_workers
from tao_skill.metric_learning.data.dataset import EvalImages
from tao_skill.metric_learning.data.folders import read_image_folder
from tao_skill.metric_learning.data.transforms import EvalTransform

__all__ = ["filled_batches", "sample_batch", "spread"]

_SIDE = 256
_WORKERS = 4


def sample_batch(folder: str | None, count: int, transform: EvalTransform) -> Tensor:
    """Return float32 images (count, channels, height, width), ready for the model.

    They come from the whole of a folder, again from its start if it has too few; without a folder they are parts of
    the two photographs that scikit-learn ships.

    Raises:
        DataError: the folder holds no images, or one that can't be decoded.
    """
    if is_given(folder):
        paths = spread(read_image_folder(str(folder), "export.sample_images").paths, count)
        return next(iter(filled_batches(paths, transform, count)))
    return torch.stack([transform.tensor(part) for part in _photograph_parts(count)]).contiguous()


def filled_batches(paths: list[Path], transform: EvalTransform, size: int) -> Iterator[Tensor]:
    """Yield batches (size, channels, height, width) of all images; the last is filled up with images from the start.

    Raises:
        DataError: an image can't be decoded.
    """
    last = -(-len(paths) // size) * size
    plan = [[(index % len(paths), 0) for index in range(start, start + size)] for start in range(0, last, size)]
    for images, _, _ in Batches(EvalImages(paths, transform), plan, usable_workers(_WORKERS, len(paths))):
        yield images.contiguous()


def spread(paths: list[Path], count: int) -> list[Path]:
    """Return at most ``count`` of the paths, from all over the list, in order."""
    if len(paths) <= count:
        return paths
    return [paths[index * len(paths) // count] for index in range(count)]


def _photograph_parts(count: int) -> list[np.ndarray]:
    photographs = load_sample_images().images
    rng = np.random.default_rng(0)
    parts = []
    for index in range(count):
        photograph = photographs[index % len(photographs)]
        top, left = (int(rng.integers(size - _SIDE)) for size in photograph.shape[:2])
        parts.append(np.ascontiguousarray(photograph[top : top + _SIDE, left : left + _SIDE]))
    return parts
