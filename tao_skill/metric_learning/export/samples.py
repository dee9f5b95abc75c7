"""Real images on which an exported model is compared with the one it came from."""

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor

from tao_skill.config.placeholder import is_given
from tao_skill.metric_learning.data.dataset import EvalImages
from tao_skill.metric_learning.data.folders import read_image_folder
from tao_skill.metric_learning.data.transforms import EvalTransform

__all__ = ["sample_batch", "spread"]

_SIDE = 256


def sample_batch(folder: str | None, count: int, transform: EvalTransform) -> Tensor:
    """Return float32 images (count, channels, height, width), ready for the model.

    They come from the whole of a folder, again from its start if it has too few; without a folder they are parts of
    the two photographs that scikit-learn ships.

    Raises:
        DataError: the folder holds no images, or one that can't be decoded.
    """
    if is_given(folder):
        paths = spread(read_image_folder(str(folder), "export.sample_images"), count)
        images = EvalImages(paths, transform)
        tensors = [images[index % len(paths)][0] for index in range(count)]
    else:
        tensors = [transform(part) for part in _photograph_parts(count)]
    return torch.stack(tensors)


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
