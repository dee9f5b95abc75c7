"""Draw P×K batches: P classes with K images each.

What an epoch draws is a pure function of the seed and the epoch's number, so a resume needs no state.

Classes are used evenly, whatever their sizes. An endless round over all classes in a fixed shuffled order is cut into
epochs; that alone says how often a class is used in an epoch and how often it was used before. Within the epoch the
order is shuffled anew: first the classes that are used once more than the others, then laps over all classes; the head
of a lap avoids the classes that already sit in the batch it joins, so a batch never holds a class twice.

Within a class, use number v takes positions v·K to v·K+K-1 of an endless round over its images. The round's order is
shuffled anew after lcm(images, K) positions, where a use ends as well. So K images in a row are all different if the
class has that many, fewer are repeated evenly, and no image is used n+1 times before all others were used n times.
A class larger than the mean class is therefore seen whole only after (its size / mean size) epochs; `unseen` says what
a training of so many epochs leaves out, so that nothing is left out silently.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from tao_skill.errors import DataError, Problem

__all__ = ["PKBatchSampler"]

_ROUND, _EPOCH, _CLASS = 1, 2, 3  # separate streams of random numbers
_DRAWS_PER_EPOCH = 2**32


class PKBatchSampler(Sampler[list[tuple[int, int]]]):
    """Yield batches of (index, draw): the image, and a number that no other draw of the whole run has.

    An epoch has as many batches as the images fill, rounded up. N ranks with batch B draw together exactly what one
    rank with batch N·B draws: each takes its own slice, so classes differ between ranks.
    """

    def __init__(
        self,
        labels: NDArray[np.int64],
        batch_size: int,
        num_instance: int,
        seed: int,
        *,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        order = np.argsort(labels, kind="stable")
        _, firsts = np.unique(np.asarray(labels)[order], return_index=True)
        self._images_of = np.split(order, firsts[1:])
        _refuse_impossible(batch_size, num_instance, len(firsts), world_size)
        self._instances = num_instance
        self._classes_per_rank = batch_size // num_instance
        self._classes_per_step = self._classes_per_rank * world_size
        self._seed, self._rank = seed % 2**64, rank
        self._batches = math.ceil(len(labels) / (batch_size * world_size))
        self._round = self._random(_ROUND).permutation(len(self._images_of))
        self._orders: dict[int, tuple[int, NDArray[np.int64]]] = {}  # only remembers what can be computed again
        self._epoch = self._start = 0

    def set_epoch(self, epoch: int) -> None:
        """Draw that epoch, counted from 0, from now on; another epoch than before starts at its first batch."""
        if epoch != self._epoch:
            self._epoch, self._start = epoch, 0

    def set_start_batch(self, batch: int) -> None:
        """Leave out the first batches of the epoch that is set; call it after `set_epoch`."""
        self._start = batch

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch on each rank, also where the first ones are left out."""
        return self._batches

    def unseen(self, epochs: int) -> NDArray[np.int64]:
        """Return how many images of each class, in the order of the labels, the first epochs never draw."""
        left: NDArray[np.int64] = np.maximum(self._sizes() - self._uses(epochs * self._slots) * self._instances, 0)
        return left

    def epochs_to_see_all(self) -> int:
        """Return the number of epochs after which every image was drawn."""
        uses = -(-self._sizes() // self._instances)
        places = np.argsort(self._round)
        return math.ceil(int(((uses - 1) * len(uses) + places + 1).max()) / self._slots)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        classes, uses = self._class_draws(self._epoch)
        first = self._rank * self._classes_per_rank
        for batch in range(self._start, self._batches):
            step = batch * self._classes_per_step
            slots = range(step + first, step + first + self._classes_per_rank)
            yield [
                (int(index), self._epoch * _DRAWS_PER_EPOCH + slot * self._instances + instance)
                for slot in slots
                for instance, index in enumerate(self._images(int(classes[slot]), int(uses[slot])))
            ]

    def _class_draws(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the classes of all slots of an epoch and how often each was used before, both ``(num_slots,)``."""
        num_classes, num_slots = len(self._images_of), self._slots
        rng = self._random(_EPOCH, epoch)
        before = epoch * num_slots
        uses = self._uses(before)
        once_more = self._round[(before + np.arange(num_slots % num_classes)) % num_classes]
        laps = [rng.permutation(once_more)]
        counts = [uses[laps[0]]]
        uses[once_more] += 1
        placed = len(once_more)
        for lap in range(num_slots // num_classes):
            open_slots = placed % self._classes_per_step
            tail = laps[-1][len(laps[-1]) - open_slots :]
            order = _avoid(rng.permutation(num_classes), tail, self._classes_per_step - open_slots)
            laps.append(order)
            counts.append(uses[order] + lap)
            placed += num_classes
        return np.concatenate(laps), np.concatenate(counts)

    @property
    def _slots(self) -> int:
        """Return how many classes an epoch draws on all ranks together, repeats counted."""
        return self._batches * self._classes_per_step

    def _sizes(self) -> NDArray[np.int64]:
        return np.array([len(images) for images in self._images_of], dtype=np.int64)

    def _uses(self, slots: int) -> NDArray[np.int64]:
        """Return how often each class was drawn in the first slots of the whole training, ``(num_classes,)``."""
        num_classes = len(self._images_of)
        uses = np.empty(num_classes, dtype=np.int64)
        uses[self._round] = (slots - np.arange(num_classes) + num_classes - 1) // num_classes
        return uses

    def _images(self, number: int, use: int) -> NDArray[np.int64]:
        images = self._images_of[number]
        uses_per_order = len(images) // math.gcd(len(images), self._instances)
        which, use = divmod(use, uses_per_order)
        if self._orders.get(number, (-1,))[0] != which:
            self._orders[number] = which, self._random(_CLASS, number, which).permutation(len(images))
        positions = (use * self._instances + np.arange(self._instances)) % len(images)
        return images[self._orders[number][1][positions]]

    def _random(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, *stream])


def _refuse_impossible(batch_size: int, num_instance: int, num_classes: int, world_size: int) -> None:
    expected = ""
    if num_instance < 1 or batch_size < 1 or batch_size % num_instance:
        expected = f"a multiple of dataset.num_instance = {num_instance}"
    elif batch_size // num_instance * world_size > num_classes:
        most = num_instance * (num_classes // world_size)
        expected = f"at most {most}: {num_classes} classes of {num_instance} images, for {world_size} process(es)"
    if expected:
        problem = Problem("train.batch_size", batch_size, expected)
        raise DataError("batches can't be drawn", problems=[problem], next_step="set another train.batch_size")


def _avoid(order: NDArray[np.int64], taken: NDArray[np.int64], head: int) -> NDArray[np.int64]:
    """Move entries that are not taken to the head of an order, ``head`` of them, and keep the rest as it is."""
    if len(taken) == 0:
        return order
    free = order[~np.isin(order, taken)][:head]
    return np.concatenate([free, order[~np.isin(order, free)]])
