"""How cost grows with size: ``make bench`` writes references/benchmarks.md and its plot.

python -m tools.bench.growth             small sizes, a few minutes
python -m tools.bench.growth --large     up to a gallery of a million
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tools.bench.machine import describe
from tools.bench.pictures import make_classes
from tools.bench.training import Task, train_product

__all__ = ["Curve", "main"]

PAGE, PLOT = Path("references/benchmarks.md"), Path("references/benchmarks.svg")


@dataclass(frozen=True)
class Curve:
    """One cost over one size: points are (size, what was measured, memory in MB)."""

    title: str
    size: str
    unit: str
    points: list[tuple[int, float, float]]


def main() -> None:
    """Measure all curves, and write the page and the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="larger galleries and batches too")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--plot", type=Path, default=PLOT)
    options = parser.parse_args()
    curves = [measure(options) for measure in (_batches, _workers, _search, _metrics)]
    options.plot.write_text(_plotted(curves), encoding="utf-8")
    options.page.write_text(_page(curves, options.plot.name, options.threads), encoding="utf-8")


def _batches(options: argparse.Namespace) -> Curve:
    sizes = (8, 16, 32, 64, 128) if options.large else (8, 16, 32)
    return Curve(
        "Training, resnet10t, 96 pixels", "batch size", "images/s", [_trained(options, size) for size in sizes]
    )


def _workers(options: argparse.Namespace) -> Curve:
    points = [_trained(options, 32, workers) for workers in (0, 1, 2)]
    rows = [(workers, rate, memory) for workers, (_, rate, memory) in zip((0, 1, 2), points, strict=True)]
    return Curve("Training, resnet10t, 96 pixels, batch 32", "loading threads", "images/s", rows)


def _trained(options: argparse.Namespace, batch: int, workers: int = 2) -> tuple[int, float, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = make_classes(folder / "train", 48, max(8, batch // 8), 128, 128)
        few = make_classes(folder / "val", 2, 1, 128, 128)
        trained = train_product(
            Task(images, few, few, "resnet10t", 96, batch, steps=8, workers=workers), options.threads
        )
    return batch, trained.images_per_s, trained.peak_mb


def _search(options: argparse.Namespace) -> Curve:
    sizes = (1_000, 10_000, 100_000, 1_000_000) if options.large else (1_000, 10_000, 100_000)
    return Curve(
        "Exact search, 256 numbers, 10 nearest, 1,000 queries",
        "gallery",
        "s",
        [_worker("search", size, options.threads) for size in sizes],
    )


def _metrics(options: argparse.Namespace) -> Curve:
    sizes = (1_000, 3_000, 10_000, 30_000) if options.large else (1_000, 3_000, 10_000)
    return Curve(
        "Retrieval metrics, as many queries as references, per class",
        "gallery",
        "s",
        [_worker("metrics", size, options.threads) for size in sizes],
    )


def _worker(name: str, size: int, threads: int) -> tuple[int, float, float]:
    command = [sys.executable, "-c", _WORKERS[name], str(size)]
    answer = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": str(threads)}
    )
    seconds, memory = json.loads(answer.stdout.splitlines()[-1])
    return size, seconds, memory


_ENDING = """
print(json.dumps([time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3]))
"""
_WORKERS = {
    "search": """
import json, resource, sys, time
import torch
from tao_skill.metric_learning.retrieval.search import top_k
gallery, queries = torch.randn(int(sys.argv[1]), 256), torch.randn(1000, 256)
top_k(queries[:8], gallery[:100], 10)
begin = time.perf_counter()
top_k(queries, gallery, 10)
"""
    + _ENDING,
    "metrics": """
import json, resource, sys, time
from tao_skill.metric_learning.retrieval.metrics import retrieval_metrics
from tools.bench.retrieval import make_data
data = make_data(int(sys.argv[1]), 256, max(2, int(sys.argv[1]) // 10), 1.8)
begin = time.perf_counter()
retrieval_metrics(*data)
"""
    + _ENDING,
}


def _page(curves: list[Curve], plot: str, threads: int) -> str:
    parts = [
        "# How cost grows with size",
        "Written by `make bench`; don't edit. Memory is the peak of the whole process, libraries and data with it.",
        describe(threads),
        f"![Cost over size]({plot})",
    ]
    for curve in curves:
        lines = [f"| {curve.size} | {curve.unit} | MB |", "|---|---|---|"]
        lines += [f"| {size:,} | {value:.3g} | {memory:.0f} |" for size, value, memory in curve.points]
        parts += [f"## {curve.title}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


_WIDE, _HIGH, _EDGE = 300, 200, 40


def _plotted(curves: list[Curve]) -> str:
    """Return the curves side by side as SVG, both axes logarithmic."""
    frames = "".join(_frame(curve, place * (_WIDE + _EDGE)) for place, curve in enumerate(curves))
    width, height = len(curves) * (_WIDE + _EDGE), _HIGH + 2 * _EDGE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11"><rect width="100%" height="100%" fill="white"/>{frames}</svg>\n'
    )


def _frame(curve: Curve, left: int) -> str:
    across = _scaled([max(size, 0.5) for size, _, _ in curve.points], left + _EDGE, left + _WIDE)
    down = _scaled([value for _, value, _ in curve.points], _HIGH + _EDGE - 10, _EDGE + 10)
    line = " ".join(f"{x:.0f},{y:.0f}" for x, y in zip(across, down, strict=True))
    marks = "".join(
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3"/><text x="{x:.0f}" y="{y - 6:.0f}" text-anchor="middle">'
        f'{value:.3g}</text><text x="{x:.0f}" y="{_HIGH + _EDGE + 14}" text-anchor="middle">{size:,}</text>'
        for x, y, (size, value, _) in zip(across, down, curve.points, strict=True)
    )
    return (
        f'<text x="{left + _EDGE}" y="16">{curve.title}</text><text x="{left + _EDGE}" y="{_HIGH + _EDGE + 30}">'
        f'{curve.size}; {curve.unit}</text><polyline points="{line}" fill="none" stroke="steelblue"/>{marks}'
    )


def _scaled(values: list[float], start: float, end: float) -> list[float]:
    from math import log

    logs = [log(value) for value in values]
    span = (max(logs) - min(logs)) or 1.0
    return [start + (end - start) * (value - min(logs)) / span for value in logs]


if __name__ == "__main__":
    main()
