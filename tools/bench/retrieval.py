"""Measure retrieval metrics: time and peak memory, alone or beside pytorch-metric-learning's AccuracyCalculator.

python -m tools.bench.retrieval                    20,000 x 20,000, 256-d, 2,000 classes, both ways, alternately
python -m tools.bench.retrieval --large            60,000 x 60,000, 512-d, 11,316 classes (Stanford Online Products)

Every measurement runs in a process of its own, so that its peak memory is its own.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.bench.processes import answer_of, own_peak_mb

Metrics = dict[str, float]
Data = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]

# The names of AccuracyCalculator, and those of this project.
NAMES = {
    "precision_at_1": "precision_at_1",
    "r_precision": "r_precision",
    "mean_average_precision": "mean_average_precision",
    "mean_reciprocal_rank": "mean_reciprocal_rank",
    "mean_average_precision_at_r": "map_at_r",
}
CLUSTERS = ("AMI", "NMI")


def main() -> None:
    """Measure and print a table; a worker prints one JSON document instead."""
    options = _options()
    if options.worker:
        print(json.dumps(_measure(options)))
        return
    if options.large:
        options.images, options.dimensions, options.classes, options.rounds = 60_000, 512, 11_316, 1
        ways = ["ours"]
    else:
        ways = ["ours", "theirs", "our clusters", "their clusters"]
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way in ways:
            found[way].append(_in_own_process(way, options))
    print(f"{options.images} queries x {options.images} references, {options.dimensions}-d, {options.classes} classes")
    for way, runs in found.items():
        _print_way(way, runs)
    for ours, theirs in (("ours", "theirs"), ("our clusters", "their clusters")):
        if theirs in found:
            _print_ratio(ours, found[ours], theirs, found[theirs])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="the large case, this project only")
    parser.add_argument("--images", type=int, default=20_000, help="queries, and as many references")
    parser.add_argument("--dimensions", type=int, default=256)
    parser.add_argument("--classes", type=int, default=2_000)
    parser.add_argument("--spread", type=float, default=1.8, help="length of the noise; a class centre has length 1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def make_data(images: int, dimensions: int, classes: int, spread: float) -> Data:
    """Return queries, labels, references, labels: unit vectors around random centres, the same at each call."""
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((classes, dimensions), dtype=np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    labels = np.arange(images, dtype=np.int64) % classes

    def around() -> NDArray[np.float32]:
        vectors = generator.standard_normal((images, dimensions), dtype=np.float32)
        vectors *= np.float32(spread / dimensions**0.5)
        vectors += centres[labels]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    return around(), labels, around(), labels


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    way = _WAYS[options.worker]()
    data = make_data(options.images, options.dimensions, options.classes, options.spread)
    before = own_peak_mb()
    begin = time.perf_counter()
    metrics = way(data)
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "peak_mb": own_peak_mb(), "before_mb": before, "metrics": metrics}


def _ours() -> Callable[[Data], Metrics]:
    from tao_skill.metric_learning.retrieval.metrics import retrieval_metrics

    return lambda data: retrieval_metrics(*data).micro


def _theirs() -> Callable[[Data], Metrics]:
    calculator = _calculator(tuple(NAMES))

    def run(data: Data) -> Metrics:
        import torch

        found = calculator.get_accuracy(*(torch.from_numpy(array) for array in data))
        # Per class: their mean is not the mean over queries, unless all classes have equally many.
        return {ours: float(np.mean(found[theirs])) for theirs, ours in NAMES.items()}

    return run


def _our_clusters() -> Callable[[Data], Metrics]:
    from tao_skill.metric_learning.retrieval.clusters import cluster_metrics

    return lambda data: cluster_metrics(data[0], data[1])


def _their_clusters() -> Callable[[Data], Metrics]:
    calculator = _calculator(CLUSTERS)

    def run(data: Data) -> Metrics:
        import torch

        found = calculator.get_accuracy(torch.from_numpy(data[0]), torch.from_numpy(data[1]))
        return {name: float(np.mean(found[name])) for name in CLUSTERS}

    return run


def _calculator(names: tuple[str, ...]) -> Any:
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    # max_bin_count: it looks at as many neighbours as the largest class has references, not at the whole ranking.
    per_class = not set(names) & set(CLUSTERS)
    return AccuracyCalculator(include=names, k="max_bin_count", return_per_class=per_class, device=torch.device("cpu"))


_WAYS: dict[str, Callable[[], Callable[[Data], Metrics]]] = {
    "ours": _ours,
    "theirs": _theirs,
    "our clusters": _our_clusters,
    "their clusters": _their_clusters,
}


def _in_own_process(way: str, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "tools.bench.retrieval", "--worker", way]
    for name in ("images", "dimensions", "classes", "spread"):
        command += [f"--{name}", str(getattr(options, name))]
    found: dict[str, Any] = answer_of(command)
    return found


def _print_way(way: str, runs: list[dict[str, Any]]) -> None:
    seconds = [run["seconds"] for run in runs]
    peak, before = max(run["peak_mb"] for run in runs), max(run["before_mb"] for run in runs)
    print(
        f"{way:<15}{statistics.median(seconds):>8.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
        f"   peak {peak:>6.0f} MB, of it {before:.0f} MB for libraries and data"
    )
    print("  " + "  ".join(f"{name} {value:.6f}" for name, value in runs[0]["metrics"].items()))


def _print_ratio(ours: str, mine: list[dict[str, Any]], theirs: str, other: list[dict[str, Any]]) -> None:
    """Print how many times as fast, and with what share of the memory, the first way is."""
    speed = statistics.median(b["seconds"] / a["seconds"] for a, b in zip(mine, other, strict=True))
    memory = statistics.median(a["peak_mb"] / b["peak_mb"] for a, b in zip(mine, other, strict=True))
    print(f"{ours} beside {theirs}: {speed:.2f} times the speed, {memory:.2f} of the peak memory")


if __name__ == "__main__":
    main()
