from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from tao_skill.errors import DataError
from tao_skill.metric_learning.data.sampler import PKBatchSampler

Batch = list[tuple[int, int]]


def labels_of(*counts: int) -> NDArray[np.int64]:
    """Return shuffled labels with gaps in the numbering, so that positions and labels can't be mixed up."""
    labels = np.repeat(np.arange(len(counts)) * 3 + 5, counts)
    return np.random.default_rng(0).permutation(labels)


def draw(sampler: PKBatchSampler, epoch: int, start: int = 0) -> list[Batch]:
    sampler.set_epoch(epoch)
    sampler.set_start_batch(start)
    return list(sampler)


CASES = [
    ((5, 3, 9, 2, 1, 4, 6), 8, 4),  # P = 2 of 7 classes
    ((5, 3, 9, 2, 1, 4, 6), 4, 4),  # P = 1
    ((5, 3, 9, 2, 1, 4, 6), 14, 2),  # P = all classes
    ((5, 3, 9, 2, 1, 4, 6), 12, 2),  # P = all but one
    ((4, 4), 4, 4),
    ((50, 3), 2, 1),
    ((1,) * 10, 6, 2),  # one image a class
    ((7,), 3, 3),  # one class
]


@pytest.mark.parametrize(("counts", "batch_size", "instances"), CASES)
def test_batches_hold_p_classes_with_k_images(counts: tuple[int, ...], batch_size: int, instances: int) -> None:  # R42
    labels = labels_of(*counts)
    sampler = PKBatchSampler(labels, batch_size, instances, seed=3)
    assert len(sampler) == -(-len(labels) // batch_size)
    sizes = Counter(labels.tolist())
    for epoch in range(6):
        batches = draw(sampler, epoch)
        assert len(batches) == len(sampler)
        for batch in batches:
            classes = Counter(int(labels[index]) for index, _ in batch)
            assert len(classes) == batch_size // instances
            assert set(classes.values()) == {instances}
            for name in classes:
                images = {index for index, _ in batch if labels[index] == name}
                assert len(images) == min(instances, sizes[name])


@pytest.mark.parametrize(("counts", "batch_size", "instances"), CASES)
def test_classes_are_used_evenly_and_no_image_is_left_out(
    counts: tuple[int, ...], batch_size: int, instances: int
) -> None:
    labels = labels_of(*counts)
    sampler = PKBatchSampler(labels, batch_size, instances, seed=3)
    seen: Counter[int] = Counter(dict.fromkeys(range(len(labels)), 0))
    for epoch in range(40):
        seen.update(index for batch in draw(sampler, epoch) for index, _ in batch)
        per_class = [sum(seen[int(i)] for i in np.flatnonzero(labels == name)) for name in np.unique(labels)]
        assert max(per_class) - min(per_class) <= instances  # one use apart at most, after any epoch
        for name in np.unique(labels):
            uses = [seen[int(i)] for i in np.flatnonzero(labels == name)]
            assert max(uses) - min(uses) <= 1
    assert min(seen.values()) >= 1


@pytest.mark.parametrize(("counts", "batch_size", "instances"), CASES)
def test_what_a_training_never_sees_is_foretold(counts: tuple[int, ...], batch_size: int, instances: int) -> None:
    labels = labels_of(*counts)
    sampler = PKBatchSampler(labels, batch_size, instances, seed=3)
    names = np.unique(labels)
    seen: set[int] = set()
    epochs = 0
    while len(seen) < len(labels):
        seen |= {index for batch in draw(sampler, epochs) for index, _ in batch}
        epochs += 1
        left = [sum(int(index) not in seen for index in np.flatnonzero(labels == name)) for name in names]
        assert sampler.unseen(epochs).tolist() == left
    assert sampler.epochs_to_see_all() == epochs


def test_an_epoch_is_a_pure_function_of_seed_and_number() -> None:
    labels = labels_of(5, 3, 9, 2, 1, 4, 6)
    sampler = PKBatchSampler(labels, 8, 4, seed=3)
    forward = [draw(sampler, epoch) for epoch in range(12)]
    fresh = [draw(PKBatchSampler(labels, 8, 4, seed=3), epoch) for epoch in reversed(range(12))]
    assert forward == fresh[::-1]
    assert len({tuple(batch) for epoch in forward for batch in epoch}) == 12 * len(sampler)
    assert draw(PKBatchSampler(labels, 8, 4, seed=4), 0) != forward[0]


def test_draw_numbers_never_repeat_over_the_run() -> None:
    sampler = PKBatchSampler(labels_of(5, 3, 9), 4, 2, seed=3)
    draws = [number for epoch in range(5) for batch in draw(sampler, epoch) for _, number in batch]
    assert len(set(draws)) == len(draws)


def test_starting_in_the_middle_leaves_out_exactly_the_first_batches() -> None:
    sampler = PKBatchSampler(labels_of(5, 3, 9, 2), 4, 2, seed=3)
    whole = draw(sampler, 2)
    for start in range(len(sampler) + 1):
        assert draw(PKBatchSampler(labels_of(5, 3, 9, 2), 4, 2, seed=3), 2, start) == whole[start:]
    draw(sampler, 2, 3)
    sampler.set_epoch(2)
    assert list(sampler) == whole[3:]
    sampler.set_epoch(3)
    assert len(list(sampler)) == len(sampler)


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_one_draw(ranks: int) -> None:  # 8.6
    labels = labels_of(5, 3, 9, 2, 1, 4, 6)
    one = PKBatchSampler(labels, 4 * ranks, 2, seed=3)
    many = [PKBatchSampler(labels, 4, 2, seed=3, rank=rank, world_size=ranks) for rank in range(ranks)]
    for epoch in range(4):
        parts = [draw(sampler, epoch) for sampler in many]
        joined = [[item for part in step for item in part] for step in zip(*parts, strict=True)]
        assert joined == draw(one, epoch)
        for step in zip(*parts, strict=True):
            classes = [{int(labels[index]) for index, _ in part} for part in step]
            assert sum(map(len, classes)) == len(set.union(*classes))


def test_batches_mix_classes_freely() -> None:
    labels = labels_of(*(4,) * 12)
    sampler = PKBatchSampler(labels, 8, 2, seed=3)
    pairs = Counter[tuple[int, int]]()
    for epoch in range(200):
        for batch in draw(sampler, epoch):
            names = sorted({int(labels[index]) for index, _ in batch})
            pairs.update((a, b) for i, a in enumerate(names) for b in names[i + 1 :])
    expected = 200 * len(sampler) * 6 / 66
    assert len(pairs) == 66
    assert max(pairs.values()) < 1.5 * expected
    assert min(pairs.values()) > 0.5 * expected


@pytest.mark.parametrize(
    ("batch_size", "instances", "ranks"), [(18, 4, 1), (12, 4, 1), (8, 4, 2), (0, 4, 1), (4, 0, 1), (2, 4, 1)]
)
def test_impossible_batches_are_refused(batch_size: int, instances: int, ranks: int) -> None:  # R41
    with pytest.raises(DataError, match=r"train\.batch_size"):
        PKBatchSampler(labels_of(8, 8), batch_size, instances, seed=0, world_size=ranks)
