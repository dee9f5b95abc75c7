from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tao_skill.config.dataset import TrainData
from tao_skill.config.model import Input
from tao_skill.errors import DataError
from tao_skill.metric_learning.data.batches import Batch, Batches, in_order, usable_workers
from tao_skill.metric_learning.data.dataset import EvalImages, TrainImages
from tao_skill.metric_learning.data.folders import read_class_folders
from tao_skill.metric_learning.data.image_set import ImageSet
from tao_skill.metric_learning.data.pixels import DecodedCache, PixelSource
from tao_skill.metric_learning.data.sampler import PKBatchSampler
from tao_skill.metric_learning.data.transforms import EvalTransform, TrainTransform
from tao_skill.metric_learning.measure import RetrievalTask, embed_task
from tao_skill.processors import usable_processors


@pytest.fixture
def images(make_tree: Callable[..., Path]) -> ImageSet:
    return read_class_folders(make_tree("train", {"a": 3, "b": 4, "c": 2}), "dataset.train_dataset")


def batches(images: ImageSet, workers: int, epochs: int) -> list[Batch]:
    data = TrainImages(images.paths, images.labels, TrainTransform(TrainData(), Input(16, 20, 3)), seed=7)
    sampler = PKBatchSampler(images.labels, 4, 2, seed=7)
    loader = Batches(data, sampler, workers)
    result = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for batch in loader:
            assert batch.labels.tolist() == [images.labels[i] for i in batch.indices]
            result.append(batch)
    return result


def test_any_number_of_workers_sees_the_same_pixels_in_every_epoch(images: ImageSet) -> None:
    alone, together = batches(images, 0, 2), batches(images, 3, 2)
    assert len(alone) == len(together) == 2 * 3
    assert alone[0].images.shape == (4, 3, 20, 16)
    assert alone[0].images.is_contiguous(memory_format=torch.channels_last)
    for one, other in zip(alone, together, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


class Flat:
    """Embeds an image as its pixels, so that embeddings are equal where the pixels are."""

    def __init__(self, model: Input) -> None:
        size = model.input_width, model.input_height, model.input_channels
        self.transform = EvalTransform([0.5], [0.5], *size)

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1).clone()


def seen(images: ImageSet, model: Input, pixels: PixelSource | None) -> list[bytes]:
    """Return what two epochs of training see, and the validation after each."""
    dataset = TrainData(random_rotation=True, re_prob=0.5)
    data = TrainImages(images.paths, images.labels, TrainTransform(dataset, model), 7, pixels)
    sampler, result = PKBatchSampler(images.labels, 4, 2, seed=7), []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        result += [batch.images.numpy().tobytes() for batch in Batches(data, sampler, 3)]
        task = RetrievalTask(images, images, batch_size=4, workers=0, pixels=pixels)
        embedded = embed_task(Flat(model), task)
        result += [embedded.reference.numpy().tobytes(), embedded.query.numpy().tobytes()]
    return result


@pytest.fixture
def sized(images: ImageSet, picture: Callable[..., NDArray[np.uint8]]) -> ImageSet:
    """Return images that are made larger, made smaller, and (18 of 16 and a margin) used as they are."""
    sizes = [(12, 10), (40, 30), (18, 18), (16, 16)]
    for number, path in enumerate(images.paths):
        Image.fromarray(picture(number, *sizes[number % 4])).save(path)
    return images


@pytest.mark.parametrize("room", [10**9, 4096 + 5000], ids=["all", "some"])
@pytest.mark.parametrize("channels", [1, 3])
def test_training_and_validation_see_the_same_bytes_with_and_without_a_cache(
    sized: ImageSet, tmp_path: Path, channels: int, room: int
) -> None:
    images, model = sized, Input(16, 16, channels)
    without = seen(images, model, None)
    for _ in range(2):  # one fills the cache while it reads, the next one finds it full
        cache = DecodedCache(tmp_path / "cache", room, model.input_channels)
        cache.expect(images.paths)
        assert seen(images, model, cache) == without
        cache.close()


def see_all(images: ImageSet, model: Input, folder: Path, expected: list[bytes]) -> None:
    cache = DecodedCache(folder, 10**9, model.input_channels)
    cache.expect(images.paths)
    assert seen(images, model, cache) == expected


def test_processes_that_share_a_cache_see_the_same_bytes(images: ImageSet, tmp_path: Path) -> None:
    model, context = Input(16, 20, 3), multiprocessing.get_context("fork")
    given = images, model, tmp_path / "cache", seen(images, model, None)
    trainings = [context.Process(target=see_all, args=given, daemon=True) for _ in range(2)]
    for training in trainings:
        training.start()
    for training in trainings:
        training.join(60)
    assert [training.exitcode for training in trainings] == [0, 0]


def written(data: TrainImages, item: tuple[int, int]) -> NDArray[np.float32]:
    out = np.empty(data.item_shape, dtype=np.float32)
    data.write(item, out)
    return out


def test_an_image_is_augmented_anew_in_every_draw(images: ImageSet) -> None:
    data = TrainImages(images.paths, images.labels, TrainTransform(TrainData(), Input(16, 16, 3)), seed=7)
    assert np.array_equal(written(data, (0, 5)), written(data, (0, 5)))
    assert not np.array_equal(written(data, (0, 5)), written(data, (0, 6)))
    other = TrainImages(images.paths, images.labels, data.transform, seed=8)
    assert not np.array_equal(written(data, (0, 5)), written(other, (0, 5)))
    assert data.write((3, 0), np.empty((16, 16, 3), dtype=np.float32)) == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_images_come_in_order_and_once(images: ImageSet, workers: int) -> None:
    data = EvalImages(images.paths, EvalTransform([0.5], [0.5], 16, 20, 1))
    assert len(data) == 9
    found = list(Batches(data, in_order(9, 4), workers))
    assert [len(batch.images) for batch in found] == [4, 4, 1]
    assert found[0].images.shape == (4, 1, 20, 16)
    assert torch.cat([batch.indices for batch in found]).tolist() == list(range(9))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_broke_meanwhile_is_named(images: ImageSet, workers: int) -> None:
    images.paths[1].write_bytes(b"")
    data = EvalImages(images.paths, EvalTransform([0.5], [0.5], 16, 16, 3))
    with pytest.raises(DataError, match=r"1\.png.*0 bytes"):
        next(iter(Batches(data, in_order(9, 3), workers)))


def test_no_thread_outlives_its_batches(images: ImageSet) -> None:
    data = EvalImages(images.paths, EvalTransform([0.5], [0.5], 16, 16, 3))
    begun = iter(Batches(data, in_order(9, 1), 2))
    next(begun)
    assert any(thread.name.startswith("images") for thread in threading.enumerate())
    begun.close()  # type: ignore[attr-defined]
    assert not any(thread.name.startswith("images") for thread in threading.enumerate())


def test_a_handful_of_images_is_loaded_without_threads() -> None:
    assert usable_workers(8, 16) == 0
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert usable_workers(8, 1000) == (min(8, usable_processors()) if torch.cuda.is_available() else 1)
        torch.set_num_threads(64)
        assert usable_workers(8, 1000) == min(8, usable_processors())
    finally:
        torch.set_num_threads(threads)
    assert usable_workers(0, 1000) == 0
