from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from torch.utils.data import DataLoader

from tao_skill.config.dataset import TrainData
from tao_skill.config.model import Input
from tao_skill.errors import DataError
from tao_skill.metric_learning.data.dataset import EvalImages, TrainImages, limit_threads
from tao_skill.metric_learning.data.folders import read_class_folders
from tao_skill.metric_learning.data.image_set import ImageSet
from tao_skill.metric_learning.data.sampler import PKBatchSampler
from tao_skill.metric_learning.data.transforms import EvalTransform, TrainTransform


@pytest.fixture
def images(make_tree: Callable[..., Path]) -> ImageSet:
    return read_class_folders(make_tree("train", {"a": 3, "b": 4, "c": 2}), "dataset.train_dataset")


def batches(images: ImageSet, workers: int, epochs: int, *, keep: bool = False) -> list[torch.Tensor]:
    data = TrainImages(images.paths, images.labels, TrainTransform(TrainData(), Input(16, 16, 3)), seed=7)
    sampler = PKBatchSampler(images.labels, 4, 2, seed=7)
    loader: DataLoader[Any] = DataLoader(
        data,
        batch_sampler=sampler,
        num_workers=workers,
        worker_init_fn=limit_threads,
        persistent_workers=keep,
    )
    result = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for tensors, labels, indices in loader:
            assert labels.tolist() == [images.labels[i] for i in indices]
            result.append(tensors)
    return result


@pytest.mark.parametrize("keep", [False, True])
def test_any_number_of_workers_sees_the_same_pixels_in_every_epoch(images: ImageSet, keep: bool) -> None:
    alone, together = batches(images, 0, 2), batches(images, 2, 2, keep=keep)
    assert len(alone) == len(together) == 2 * 3
    assert alone[0].shape == (4, 3, 16, 16)
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))


def test_an_image_is_augmented_anew_in_every_draw(images: ImageSet) -> None:
    data = TrainImages(images.paths, images.labels, TrainTransform(TrainData(), Input(16, 16, 3)), seed=7)
    assert torch.equal(data[0, 5][0], data[0, 5][0])
    assert not torch.equal(data[0, 5][0], data[0, 6][0])
    other = TrainImages(images.paths, images.labels, data.transform, seed=8)
    assert not torch.equal(data[0, 5][0], other[0, 5][0])
    assert data[3, 0][1:] == (1, 3)


def test_evaluation_images_come_in_order(images: ImageSet) -> None:
    data = EvalImages(images.paths, EvalTransform([0.5], [0.5], 16, 20, 1))
    assert len(data) == 9
    tensors, indices = next(iter(DataLoader(data, batch_size=9)))
    assert tensors.shape == (9, 1, 20, 16)
    assert indices.tolist() == list(range(9))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_broke_meanwhile_is_named(images: ImageSet, workers: int) -> None:
    images.paths[1].write_bytes(b"")
    data = EvalImages(images.paths, EvalTransform([0.5], [0.5], 16, 16, 3))
    batches = iter(DataLoader(data, batch_size=3, num_workers=workers))
    with pytest.raises(DataError, match=r"1\.png.*0 bytes"):
        next(batches)
    if workers:
        batches._shutdown_workers()  # at once; the garbage collector would wait five seconds for them


def test_limit_threads_silences_opencv() -> None:
    before = cv2.getNumThreads()
    try:
        limit_threads(3)
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(before)
