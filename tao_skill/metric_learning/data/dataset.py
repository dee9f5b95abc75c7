"""Map-style data sets over image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from tao_skill.metric_learning.data.decode import decode_image

__all__ = ["EvalImages", "TrainImages", "limit_threads"]

_PIXELS = 4  # a stream of random numbers apart from the sampler's


class RandomTransform(Protocol):
    """Turns a decoded image into a tensor, drawing from a generator."""

    channels: int

    def __call__(self, image: NDArray[np.uint8], rng: np.random.Generator, /) -> torch.Tensor: ...


class FixedTransform(Protocol):
    """Turns a decoded image into a tensor, always the same."""

    channels: int

    def __call__(self, image: NDArray[np.uint8], /) -> torch.Tensor: ...


class TrainImages(Dataset[tuple[torch.Tensor, int, int]]):
    """Training images, asked for by (index, draw) as `PKBatchSampler` yields them.

    The randomness of an item depends on the seed and the draw alone, and the sampler's draws differ from epoch to
    epoch. So nothing changes in here: any number of workers, kept alive or not, and a resumed run see the same pixels.
    """

    def __init__(self, paths: Sequence[Path], labels: NDArray[np.int64], transform: RandomTransform, seed: int) -> None:
        self.paths = list(paths)
        self.labels = labels
        self.transform = transform
        self._seed = seed % 2**64

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, item: tuple[int, int]) -> tuple[torch.Tensor, int, int]:
        """Return the tensor ``(channels, height, width)``, the label and the index.

        Raises:
            DataError: the image can't be decoded.
        """
        index, draw = item
        image = decode_image(self.paths[index], self.transform.channels)
        tensor = self.transform(image, np.random.default_rng([self._seed, _PIXELS, draw]))
        return tensor, int(self.labels[index]), index


class EvalImages(Dataset[tuple[torch.Tensor, int]]):
    """Images for embedding, in order."""

    def __init__(self, paths: Sequence[Path], transform: FixedTransform) -> None:
        self.paths = list(paths)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Return the tensor ``(channels, height, width)`` and the index.

        Raises:
            DataError: the image can't be decoded.
        """
        return self.transform(decode_image(self.paths[index], self.transform.channels)), index


def limit_threads(worker: int = 0) -> None:
    """Keep OpenCV single-threaded: the ``worker_init_fn`` of loaders, whose workers are the parallelism."""
    del worker
    cv2.setNumThreads(0)
