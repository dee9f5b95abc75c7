"""Make batches ahead of time, in threads.

Decoding, resizing and recolouring all work without holding the interpreter's lock, so threads load as fast as
processes would. They start at once, import nothing a second time, and write into the batch itself, which no queue has
to carry from one process to another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from tao_skill.metric_learning.data.dataset import Images, Values
from tao_skill.processors import usable_processors

__all__ = ["Batch", "Batches", "in_order", "usable_workers"]

Item = tuple[int, int]
_AHEAD = 2
_IMAGES_PER_TASK = 4


class Batch(NamedTuple):
    """Images (batch, channels, height, width) with the channels last in memory, labels and indices (batch,) int64."""

    images: Tensor
    labels: Tensor
    indices: Tensor


class Plan(Protocol):
    """Says which items are in which batch, anew for each epoch."""

    def __iter__(self) -> Iterator[list[Item]]: ...

    def __len__(self) -> int: ...


def usable_workers(requested: int, num_images: int) -> int:
    """Return how many loading threads pay: no more than this process has processors, none for a handful of images.

    Nor, where the network computes on the processors too, more than it has threads: who gives it few (OMP_NUM_THREADS)
    has something else to run.
    """
    most = usable_processors() if torch.cuda.is_available() else min(usable_processors(), torch.get_num_threads())
    return min(requested, most) if num_images > 16 else 0


def in_order(num_images: int, batch_size: int) -> list[list[Item]]:
    """Return the plan that takes each image once, in order."""
    return [
        [(index, 0) for index in range(start, min(start + batch_size, num_images))]
        for start in range(0, num_images, batch_size)
    ]


class Batches(Iterable[Batch]):
    """Iterate over the batches of a plan; ``workers`` threads prepare the next two meanwhile, or none does."""

    def __init__(
        self, images: Images, plan: Plan | list[list[Item]], workers: int, *, pin_memory: bool = False
    ) -> None:
        self._images, self._plan, self._workers, self._pin = images, plan, workers, pin_memory

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch."""
        return len(self._plan)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in the plan's order.

        Raises:
            DataError: an image can't be decoded.
        """
        cv2.setNumThreads(0)  # the workers are the parallelism
        return self._ahead() if self._workers else (self._now(items) for items in self._plan)

    def _now(self, items: list[Item]) -> Batch:
        begun = _Begun(self._images, items, self._pin)
        begun.load(0, len(items))
        return begun.batch

    def _ahead(self) -> Iterator[Batch]:
        waiting: deque[tuple[_Begun, list[Future[None]]]] = deque()
        pool = ThreadPoolExecutor(self._workers, "images")
        try:
            for items in self._plan:
                begun = _Begun(self._images, items, self._pin)
                starts = range(0, len(items), _IMAGES_PER_TASK)
                waiting.append((begun, [pool.submit(begun.load, at, at + _IMAGES_PER_TASK) for at in starts]))
                if len(waiting) > _AHEAD:
                    yield _finished(*waiting.popleft())
            while waiting:
                yield _finished(*waiting.popleft())
        finally:
            with suppress(RuntimeError):  # the interpreter ends
                pool.shutdown(wait=True, cancel_futures=True)


class _Begun:
    """A batch whose images are being written."""

    def __init__(self, images: Images, items: list[Item], pin_memory: bool) -> None:
        self._images, self._items = images, items
        pixels = torch.empty(len(items), *images.item_shape, pin_memory=pin_memory)
        self._slots: Values = pixels.numpy()
        self._labels = np.empty(len(items), dtype=np.int64)
        indices = torch.tensor([index for index, _ in items], dtype=torch.int64)
        self.batch = Batch(pixels.permute(0, 3, 1, 2), torch.from_numpy(self._labels), indices)

    def load(self, start: int, stop: int) -> None:
        """Write some of the images."""
        for place in range(start, min(stop, len(self._items))):
            self._labels[place] = self._images.write(self._items[place], self._slots[place])


def _finished(begun: _Begun, tasks: list[Future[None]]) -> Batch:
    for task in tasks:
        task.result()
    return begun.batch
