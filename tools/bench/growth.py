"""How cost grows with size: ``make bench`` writes references/benchmarks.md and its plot.

python -m tools.bench.growth                       all curves, some minutes
python -m tools.bench.growth --only staging        one of them; the others come from the record of earlier runs
python -m tools.bench.growth --only                none: the page and the plot are written from the record

The record keeps with each curve the machine and the commit of which it tells. Curves of another machine are refused:
beside each other they would mean nothing. From which commit a curve comes stands below its table.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tao_skill.processors import usable_processors
from tools.bench.growth_plot import Curve, plotted
from tools.bench.machine import commit, describe
from tools.bench.pictures import make_classes
from tools.bench.processes import answer_of
from tools.bench.records import read_record, write_record
from tools.bench.training import Task, train_product

__all__ = ["main"]

PAGE, PLOT = Path("references/benchmarks.md"), Path("references/benchmarks.svg")
Point = tuple[int, float, float]


@dataclass(frozen=True)
class _Growth:
    """A curve to measure: its words, its sizes, and what measures one of them."""

    title: str
    size: str
    unit: str
    sizes: tuple[int, ...]
    measure: Callable[[int, int], Point]
    note: str

    def curve(self, points: list[Point]) -> Curve:
        """Return the curve of what was measured."""
        return Curve(self.title, self.size, self.unit, points, self.note)


def main(words: Sequence[str] | None = None) -> None:
    """Measure curves, and write the page and the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=_GROWTHS, default=list(_GROWTHS))
    parser.add_argument("--threads", type=int, default=usable_processors())
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--plot", type=Path, default=PLOT)
    parser.add_argument("--record", type=Path, default=Path(".bench/growth.json"), help="what was measured so far")
    options = parser.parse_args(words)
    machine, record = describe(options.threads), read_record(options.record)
    if strange := _from_elsewhere(record, machine, options.only):
        parser.error(f"{options.record} {strange}")
    for name in options.only:
        growth = _GROWTHS[name]
        points: list[Point] = []
        record[name] = {"machine": machine, "commit": commit(), "points": points}
        for size in growth.sizes:
            points.append(growth.measure(size, options.threads))
            print(f"{name}: {points[-1]}", flush=True)
        write_record(options.record, record)
    curves = {name: growth.curve(record[name]["points"]) for name, growth in _GROWTHS.items() if name in record}
    if not curves:
        parser.error(f"{options.record} holds no measurement yet: name curves after --only, or leave it out")
    options.plot.write_text(plotted(list(curves.values())), encoding="utf-8")
    measured = [(curve, record[name]["commit"]) for name, curve in curves.items()]
    options.page.write_text(_page(measured, options.plot.name, machine), encoding="utf-8")


def _from_elsewhere(record: Mapping[str, Any], machine: str, again: Sequence[str]) -> str:
    """Return what is wrong with curves of a record that are not measured again: "" where all are of this machine."""
    strange: dict[str, list[str]] = {}
    for name in _GROWTHS:
        if name in record and name not in again:
            # Records of an older form hold the points alone.
            where = record[name]["machine"] if isinstance(record[name], dict) else "Machine: not told."
            if where != machine:
                strange.setdefault(where, []).append(name)
    if not strange:
        return ""
    lines = "".join(f"\n  {', '.join(names)}: {where}" for where, names in strange.items())
    names = " ".join(name for each in strange.values() for name in each)
    return (
        f"holds curves of another machine than this one:{lines}\nHere: {machine}\n"
        f"Next: measure them as well (--only {' '.join([*again, names])}), or name another --record."
    )


def _batch(size: int, threads: int) -> Point:
    return size, *_trained(size, 2, threads)


def _workers(size: int, threads: int) -> Point:
    return size, *_trained(32, size, threads)


def _trained(batch: int, workers: int, threads: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = make_classes(folder / "train", 48, max(8, batch // 8), 128, 128)
        few = make_classes(folder / "val", 2, 1, 128, 128)
        trained = train_product(Task(images, few, few, "resnet10t", 96, batch, steps=8, workers=workers), threads)
    return trained.images_per_s, trained.peak_mb


def _program(name: str) -> Callable[[int, int], Point]:
    def measure(size: int, threads: int) -> Point:
        command = [sys.executable, "-m", "tools.bench.growth_programs", name, str(size)]
        value, memory = answer_of(command, {"OMP_NUM_THREADS": str(threads)})
        return size, value, memory

    return measure


_GALLERIES = (1_000, 10_000, 100_000, 1_000_000)
_GROWTHS = {
    "batches": _Growth(
        "Training, resnet10t, 96 pixels",
        "batch size",
        "images/s",
        (8, 16, 32, 64, 128),
        _batch,
        "What each step costs whatever its batch (both optimizers, the average of the weights) weighs less in larger "
        "batches; the curve levels off where the network itself is all that counts.",
    ),
    "workers": _Growth(
        "Training, resnet10t, 96 pixels, batch 32",
        "loading threads",
        "images/s",
        (0, 1, 2),
        _workers,
        "Without a thread images are made between the steps. One that makes them meanwhile takes a processor from the "
        "network's threads, which wait for each other: of two processors that costs more than it saves. Where one "
        "thread keeps up, a second brings nothing.",
    ),
    "search": _Growth(
        "Exact search, 256 numbers, 10 nearest, 1,000 queries",
        "gallery",
        "seconds",
        _GALLERIES,
        _program("search"),
        "Small galleries cost what any call costs; then time and memory grow with the gallery, of which each image "
        "takes 1 kB.",
    ),
    "validation": _Growth(
        "Metrics of a validation, 1,000 queries, per class",
        "gallery",
        "seconds",
        _GALLERIES,
        _program("validation"),
        "As the search; a query's similarities are sorted as well, and sorting grows a little faster than the gallery. "
        "Memory holds the benchmark's own drawing of the data too, about three galleries.",
    ),
    "both": _Growth(
        "Metrics of a validation, as many queries as references",
        "gallery",
        "seconds",
        (1_000, 3_000, 10_000, 30_000),
        _program("both"),
        "Ten times as many on both sides are a hundred times as many pairs, so the curve steepens to a slope of 2 once "
        "the pairs outweigh what any call costs. Similarities are computed in blocks: memory grows with the "
        "embeddings, not with the pairs.",
    ),
    "staging": _Growth(
        "Staging a local .tar.gz, images of 40 kB",
        "archive, MB",
        "seconds",
        (1, 10, 100, 400),
        _program("staging"),
        "Each image is a file to make, so time grows with their number; the archive is read as a stream, so memory "
        "does not grow.",
    ),
    "trials": _Growth(
        "AutoML's own work, default algorithm, trials of 10 epochs that take no time",
        "trials",
        "seconds per trial",
        (3, 10, 30, 60),
        _program("trials"),
        "The values of ten trials are drawn, which costs next to nothing: what is left is writing each step down, so "
        "that a kill loses nothing. From then on a Gaussian process is fitted to all trials before each new one: the "
        "more of them there are, the longer it takes. The memory is PyTorch's, which is imported for the first fit; "
        "without it, ten trials take about 70 MB.",
    ),
}


def _page(curves: Sequence[tuple[Curve, str]], plot: str, machine: str) -> str:
    parts = [
        "# How cost grows with size",
        "Written by `make bench`; don't edit. Memory is the peak of the whole process, libraries and data with it: "
        "PyTorch alone takes 450 to 770 MB of it, depending on its build. What else is measured, and what can disturb "
        "it: [measuring.md](measuring.md).",
        machine,
        f"![Cost over size]({plot})",
    ]
    for curve, made_at in curves:
        lines = [f"| {curve.size} | {curve.unit} | MB |", "|---|---|---|"]
        lines += [f"| {size:,} | {value:.3g} | {memory:.0f} |" for size, value, memory in curve.points]
        parts += [f"## {curve.title}", "\n".join(lines), f"Measured at commit {made_at}.", curve.note]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
