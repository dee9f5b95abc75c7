"""The input pipeline alone, on one core: from JPEG files to what the model takes."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import cv2
import numpy as np
import torch
from torchvision.datasets.folder import pil_loader

from tao_skill.config.dataset import TrainData
from tao_skill.config.model import Input
from tao_skill.metric_learning.data.dataset import TrainImages
from tao_skill.metric_learning.data.pixels import DecodedCache, Files, PixelSource
from tao_skill.metric_learning.data.transforms import TrainTransform
from tools.bench.pictures import make_classes
from tools.bench.reference_loop import train_transform
from tools.bench.table import Row, pairs

__all__ = ["pipeline_rows"]

_IMAGES = 32
_INPUT = 224
_TARGET = 6.0


def pipeline_rows(folder: Path, rounds: int) -> list[Row]:
    """Compare images per second of processor time at two sizes of files, with one thread on both sides.

    Each image is decoded in the first epoch only, which also writes its pixels into the cache: an empty one in each
    round. From the second epoch on they come from there; the reference has no cache. The reference's 15-tap blur
    multiplies with weights that are subnormal numbers, which some processors do slowly: an image took 50 ms on one, 10
    on another that flushing does not change. So it is measured a second time with such numbers flushed to zero. That is
    the fairer reading: no setting of a trainer does it, but a library built for fast mathematics may.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    rows = []
    try:
        for width, height in ((256, 256), (640, 480)):
            paths = sorted(make_classes(folder / f"{width}", 4, _IMAGES // 4, width, height).rglob("*.jpg"))
            for flush in (False, True):
                note = ", subnormal numbers flushed" if flush else ""
                torch.set_flush_denormal(flush)
                rows += _measured(f"input pipeline, {width}×{height} files", note, paths, rounds)
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)
    return rows


def _measured(name: str, note: str, paths: list[Path], rounds: int) -> list[Row]:
    first = Row(f"{name}, first epoch{note}", "images/s per core", _TARGET)
    _measure(first, paths, rounds, lambda: _new_cache(paths))
    later = Row(f"{name}, later epochs{note}", "images/s per core", _TARGET)
    with _new_cache(paths) as cache:
        for path in paths:
            cache.read(path, 3)
        _measure(later, paths, rounds, lambda: nullcontext(cache))
    return [first, later]


@contextmanager
def _new_cache(paths: list[Path]) -> Iterator[DecodedCache]:
    """Give an empty cache of these files' pixels, beside their classes."""
    with tempfile.TemporaryDirectory(dir=paths[0].parent.parent) as folder:
        cache = DecodedCache(Path(folder), 10**9, 3)
        cache.expect(paths)
        try:
            yield cache
        finally:
            cache.close()


def _measure(
    row: Row, paths: list[Path], rounds: int, source: Callable[[], AbstractContextManager[PixelSource]]
) -> None:
    """Measure both sides in turn; each round of ours reads its pixels from what ``source`` gives."""
    reference = train_transform(_INPUT)

    def ours() -> None:
        with source() as pixels:
            row.ours.append(_rate(_loading(paths, pixels), len(paths)))

    def theirs() -> None:
        row.theirs.append(_rate(lambda index: reference(pil_loader(str(paths[index]))), len(paths)))

    _loading(paths, Files())(0)
    reference(pil_loader(str(paths[0])))
    pairs(rounds, ours, theirs)


def _loading(paths: list[Path], pixels: PixelSource) -> Callable[[int], int]:
    """Return what loads the image of a number, as this project's threads do."""
    transform = TrainTransform(TrainData(), Input(_INPUT, _INPUT, 3))
    images = TrainImages(paths, np.zeros(len(paths), dtype=np.int64), transform, seed=1, pixels=pixels)
    out = np.empty(images.item_shape, dtype=np.float32)
    return lambda index: images.write((index, index), out)


def _rate(load: Callable[[int], object], count: int) -> float:
    """Return how many are loaded in a second of processor time: that of all threads, and of the kernel for them."""
    begin = time.process_time()
    for index in range(count):
        load(index)
    return count / (time.process_time() - begin)
