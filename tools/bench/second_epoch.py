"""How often files are decoded: in the first training on some data, and in a second one."""

from pathlib import Path

from tools.bench.pictures import make_classes
from tools.bench.table import Row
from tools.bench.training import Task, decodes_of_product

__all__ = ["decode_rows"]

_CLASSES, _IMAGES = 4, 8


def decode_rows(folder: Path) -> list[Row]:
    """Count the decodings of two trainings of two epochs, with one cache."""
    images, few = make_classes(folder / "train", _CLASSES, _IMAGES, 96, 96), make_classes(folder / "val", 2, 2, 96, 96)
    task = Task(images, few, few, "resnet10t", 32, 16, steps=4, epochs=2)
    files = _CLASSES * _IMAGES + 4
    first, second = (decodes_of_product(task, folder / "cache") for _ in range(2))
    return [
        Row("files decoded again in the second epoch", "files", 0, at_most=True, ours=[float(first - files)]),
        Row("files decoded in the second training", "files", 0, at_most=True, ours=[float(second)]),
    ]
