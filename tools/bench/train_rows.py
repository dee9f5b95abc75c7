"""Training: images per second and memory, of a large network and of a small one."""

from pathlib import Path

from tools.bench.pictures import make_classes
from tools.bench.table import Row, pairs
from tools.bench.training import Task, train_product, train_reference

__all__ = ["resnet_rows", "small_network_rows"]


def resnet_rows(folder: Path, rounds: int, threads: int) -> list[Row]:
    """Compare training of resnet_50 at 224 pixels, batch 16: speed and peak memory, within one epoch of both sides."""
    images, few = make_classes(folder / "train", 25, 8, 256, 256), make_classes(folder / "val", 2, 1, 256, 256)
    rate = Row("training, resnet_50, 224, batch 16", "images/s", 2.5)
    return _compare(Task(images, few, few, "resnet50", 224, 16, steps=12), rate, rounds, threads)


def small_network_rows(folder: Path, rounds: int, threads: int, images: Path | None) -> list[Row]:
    """Compare training of a small network at 96 pixels, batch 64, within one epoch of both sides."""
    images, few = images or make_classes(folder / "train", 240, 8, 96, 96), make_classes(folder / "val", 2, 1, 96, 96)
    rate = Row("training, mobilenetv4_conv_small, 96, batch 64", "images/s", 4.0)
    return _compare(Task(images, few, few, "mobilenetv4_conv_small", 96, 64, steps=30), rate, rounds, threads)


def _compare(task: Task, rate: Row, rounds: int, threads: int) -> list[Row]:
    """Return the rate, and memory in both ways of counting: as each process shows it, and shared pages once."""
    resident = Row("peak memory of that training, main + workers, resident in each", "MB", 0.5, at_most=True)
    shared = Row("the same, pages that processes share counted once", "MB", 0.5, at_most=True)

    def ours() -> None:
        trained = train_product(task, threads)
        rate.ours.append(trained.images_per_s)
        resident.ours.append(trained.peak_resident_mb)
        shared.ours.append(trained.peak_mb)

    def theirs() -> None:
        trained = train_reference(task, threads)
        rate.theirs.append(trained.images_per_s)
        resident.theirs.append(trained.peak_resident_mb)
        shared.theirs.append(trained.peak_mb)

    pairs(rounds, ours, theirs)
    return [rate, resident, shared]
