"""Train with both sides, each in a process of its own: images per second, start, memory."""

import json
import statistics
import sys
import tempfile
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from tools.bench.processes import FOR_REFERENCE, Measured, run_measured

__all__ = ["Task", "Trained", "decodes_of_product", "train_product", "train_reference"]


@dataclass(frozen=True)
class Task:
    """What both sides train; ``network`` is a name of torchvision or timm.

    This project always validates, before the first step as well; the reference does with ``compare_accuracy`` only.
    Then both sides learn at the same rate from the first step on, as the reference always does. What this project does
    beside the steps by default, and the reference does not: ``computed_start``, it computes its embedder from the
    training images before the first step; ``weights_average``, it validates an average of the weights; ``refit``, it
    also validates an embedder that is computed anew; ``keeps_pixels``, it remembers what it decoded.
    """

    train: Path
    reference: Path
    query: Path
    network: str
    size: int
    batch: int
    steps: int
    epochs: int = 1
    workers: int = 2
    seed: int = 1
    compare_accuracy: bool = False
    computed_start: bool = True
    weights_average: bool = True
    refit: bool = True
    keeps_pixels: bool = True


@dataclass(frozen=True)
class Trained:
    """What a training took in so many steps; ``precision_at_1`` where it was validated."""

    steps: int
    images_per_s: float
    start_s: float
    peak_mb: float
    peak_resident_mb: float
    precision_at_1: float | None = None


def train_reference(task: Task, threads: int) -> Trained:
    """Train with the reference loop."""
    command = [sys.executable, "-m", "tools.bench.reference_loop", "--train", str(task.train)]
    command += ["--network", task.network, "--size", str(task.size), "--batch", str(task.batch)]
    command += ["--steps", str(task.steps), "--workers", str(task.workers), "--seed", str(task.seed)]
    if task.compare_accuracy:
        command += ["--reference", str(task.reference), "--query", str(task.query)]
    return _trained(task, command, threads, FOR_REFERENCE)


def train_product(task: Task, threads: int) -> Trained:
    """Train with this project: its command, with a spec that says no more than it has to."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trained = _trained(task, _product_command(task, folder), threads, {"TAO_SKILL_CACHE": name})
        if not task.compare_accuracy:
            return trained
        status = (folder / "results" / "train" / "status.json").read_text(encoding="utf-8")
        return replace(trained, precision_at_1=_last_precision(status))


def decodes_of_product(task: Task, cache: Path) -> int:
    """Train with this project and return how many files it decoded."""
    with tempfile.TemporaryDirectory() as name:
        _, document = _run(_product_command(task, Path(name)), {"TAO_SKILL_CACHE": str(cache)})
    return int(document["decoded"])


def _product_command(task: Task, folder: Path) -> list[str]:
    spec = folder / "spec.yaml"
    spec.write_text(yaml.safe_dump(_spec(task, folder)), encoding="utf-8")
    return [sys.executable, "-m", "tools.bench.product_loop", "train", "-e", str(spec)]


_PRECISION = "val Precision at Rank 1"


def _last_precision(status: str) -> float:
    """Return P@1 after the last epoch, not the best."""
    entries = (json.loads(line).get("kpi") or {} for line in status.splitlines())
    return float([kpi[_PRECISION] for kpi in entries if _PRECISION in kpi][-1])


def _spec(task: Task, folder: Path) -> dict[str, object]:
    model: dict[str, object] = {"input_width": task.size, "input_height": task.size}
    model |= {"backbone": "resnet_50"} if task.network == "resnet50" else {"timm_name": task.network}
    validation = {"reference": str(task.reference), "query": str(task.query)}
    dataset: dict[str, object] = {"train_dataset": str(task.train), "val_dataset": validation, "workers": task.workers}
    dataset |= {} if task.keeps_pixels else {"pixel_cache_gb": 0}
    train: dict[str, object] = {"batch_size": task.batch, "num_epochs": task.epochs, "seed": task.seed}
    train |= {"validation_interval": task.epochs, "checkpoint_interval": task.epochs}
    train |= {"optim": {"warmup_factor": 1.0}} if task.compare_accuracy else {}
    train |= {} if task.computed_start else {"embedder_start": "random"}
    train |= {} if task.weights_average else {"weights_average_decay": 0.0}
    train |= {} if task.refit else {"embedder_refit": False}
    # The reference keeps no diary either.
    return {
        "results_dir": str(folder / "results"),
        "model": model,
        "dataset": dataset,
        "train": train,
        "wandb": {"enable": False},
    }


def _trained(task: Task, command: list[str], threads: int, environment: dict[str, str] | None = None) -> Trained:
    measured, document = _run(command, {"OMP_NUM_THREADS": str(threads)} | (environment or {}))
    times = document["steps"]
    # The first step warms up; the last entry is the end of the whole. A step lasts until the next begins, so that
    # waiting for images counts.
    lengths = [after - before for before, after in pairwise(times[1:-1])] or [times[-1] - times[0]]
    precision = document.get("precision_at_1")
    rate = task.batch / statistics.fmean(lengths)
    start = times[0] - measured.began
    # A table takes many such runs: what is cut short has told what it measured.
    side = command[2].rpartition(".")[2]
    print(
        f"{task.network}, {side}: {rate:.1f} images/s, start {start:.2f} s, {measured.peak_resident_mb:.0f} MB "
        f"resident, {measured.peak_mb:.0f} MB with shared pages counted once",
        file=sys.stderr,
        flush=True,
    )
    return Trained(len(times) - 1, rate, start, measured.peak_mb, measured.peak_resident_mb, precision)


def _run(command: list[str], environment: dict[str, str]) -> tuple[Measured, dict[str, Any]]:
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        # The product passes unknown words on to its action, so its own option comes first.
        measured = run_measured([*command[:3], "--out", out.name, *command[3:]], environment)
        return measured, json.loads(Path(out.name).read_text(encoding="utf-8"))
