"""Images as items of a batch: decoded, transformed, and written where the batch wants them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tao_skill.metric_learning.data.pixels import Files, PixelSource

__all__ = ["EvalImages", "Images", "TrainImages"]

_PIXELS = 4  # a stream of random numbers apart from the sampler's

Image8 = NDArray[np.uint8]
Values = NDArray[np.float32]


class RandomTransform(Protocol):
    """Writes a decoded image as the model takes it, drawing from a generator."""

    channels: int
    size: tuple[int, int]

    def __call__(self, image: Image8, out: Values, rng: np.random.Generator, /) -> None: ...


class FixedTransform(Protocol):
    """Writes a decoded image as the model takes it, always the same."""

    channels: int
    size: tuple[int, int]

    def __call__(self, image: Image8, out: Values, /) -> None: ...


class Images(Protocol):
    """What a batch is made of: items are (index, draw); ``item_shape`` is (height, width, channels)."""

    @property
    def item_shape(self) -> tuple[int, int, int]: ...

    def write(self, item: tuple[int, int], out: Values, /) -> int:
        """Write an item's pixels and return its label."""


class TrainImages:
    """Training images, asked for by (index, draw) as `PKBatchSampler` yields them.

    The randomness of an item depends on the seed and the draw alone, and the sampler's draws differ from epoch to
    epoch. So nothing changes in here: any number of workers and a resumed run see the same pixels.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        labels: NDArray[np.int64],
        transform: RandomTransform,
        seed: int,
        pixels: PixelSource | None = None,
    ) -> None:
        self.paths = list(paths)
        self.labels = labels
        self.transform = transform
        self._seed = seed % 2**64
        self._pixels = pixels or Files()

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def item_shape(self) -> tuple[int, int, int]:
        """Return (height, width, channels)."""
        return _shape(self.transform)

    def write(self, item: tuple[int, int], out: Values) -> int:
        """Write an item's pixels and return its label.

        Raises:
            DataError: the image can't be decoded.
        """
        index, draw = item
        image = self._pixels.read(self.paths[index], self.transform.channels)
        self.transform(image, out, np.random.default_rng([self._seed, _PIXELS, draw]))
        return int(self.labels[index])


class EvalImages:
    """Images for embedding."""

    def __init__(self, paths: Sequence[Path], transform: FixedTransform, pixels: PixelSource | None = None) -> None:
        self.paths = list(paths)
        self.transform = transform
        self._pixels = pixels or Files()

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def item_shape(self) -> tuple[int, int, int]:
        """Return (height, width, channels)."""
        return _shape(self.transform)

    def write(self, item: tuple[int, int], out: Values) -> int:
        """Write an item's pixels; it has no label.

        Raises:
            DataError: the image can't be decoded.
        """
        self.transform(self._pixels.read(self.paths[item[0]], self.transform.channels), out)
        return -1


def _shape(transform: RandomTransform | FixedTransform) -> tuple[int, int, int]:
    width, height = transform.size
    return height, width, transform.channels
