"""Train with both sides, each in a process of its own: images per second, start, memory."""

import json
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from tools.bench.processes import run_measured

__all__ = ["Task", "Trained", "train_product", "train_reference"]


@dataclass(frozen=True)
class Task:
    """What both sides train; ``network`` is a name of torchvision or timm.

    This project always validates, before the first step as well; the reference does with ``compare_accuracy`` only.
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


@dataclass(frozen=True)
class Trained:
    """What a training took; ``precision_at_1`` where it was validated."""

    images_per_s: float
    start_s: float
    peak_mb: float
    precision_at_1: float | None = None


def train_reference(task: Task, threads: int) -> Trained:
    """Train with the reference loop."""
    command = [sys.executable, "-m", "tools.bench.reference_loop", "--train", str(task.train)]
    command += ["--network", task.network, "--size", str(task.size), "--batch", str(task.batch)]
    command += ["--steps", str(task.steps), "--workers", str(task.workers), "--seed", str(task.seed)]
    if task.compare_accuracy:
        command += ["--reference", str(task.reference), "--query", str(task.query)]
    return _trained(task, command, threads)


def train_product(task: Task, threads: int) -> Trained:
    """Train with this project: its command, with a spec that says no more than it has to."""
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "spec.yaml"
        spec.write_text(yaml.safe_dump(_spec(task, Path(folder))), encoding="utf-8")
        command = [sys.executable, "-m", "tools.bench.product_loop"]
        trained = _trained(task, [*command, "train", "-e", str(spec)], threads, {"TAO_SKILL_CACHE": folder})
        if not task.compare_accuracy:
            return trained
        results = json.loads((Path(folder) / "results" / "train" / "results.json").read_text(encoding="utf-8"))
        last = Path(folder) / "results" / "train" / "status.json"
        precision = _last_precision(last.read_text(encoding="utf-8")) or results["metrics"].get(_PRECISION)
        return Trained(trained.images_per_s, trained.start_s, trained.peak_mb, precision)


_PRECISION = "val Precision at Rank 1"


def _last_precision(status: str) -> float | None:
    """Return P@1 after the last epoch, not the best."""
    found = [
        entry["kpi"][_PRECISION] for entry in map(json.loads, status.splitlines()) if _PRECISION in entry.get("kpi", {})
    ]
    return float(found[-1]) if found else None


def _spec(task: Task, folder: Path) -> dict[str, object]:
    model = {"input_width": task.size, "input_height": task.size}
    model |= {"backbone": "resnet_50"} if task.network == "resnet50" else {"timm_name": task.network}
    dataset: dict[str, object] = {"train_dataset": str(task.train), "workers": task.workers}
    dataset["val_dataset"] = {"reference": str(task.reference), "query": str(task.query)}
    train = {"batch_size": task.batch, "num_epochs": task.epochs, "seed": task.seed}
    train |= {"validation_interval": task.epochs, "checkpoint_interval": task.epochs}
    return {"results_dir": str(folder / "results"), "model": model, "dataset": dataset, "train": train}


def _trained(task: Task, command: list[str], threads: int, environment: dict[str, str] | None = None) -> Trained:
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        # The product passes unknown words on to its action, so its own option comes first.
        command = [*command[:3], "--out", out.name, *command[3:]]
        measured = run_measured(command, {"OMP_NUM_THREADS": str(threads)} | (environment or {}))
        document = json.loads(Path(out.name).read_text(encoding="utf-8"))
    times = document["steps"]
    # The first step warms up; the last entry is the end of the whole. A step lasts until the next begins, so that
    # waiting for images counts.
    lengths = [after - before for before, after in zip(times[1:-1], times[2:-1], strict=False)] or [
        times[-1] - times[0]
    ]
    precision = document.get("precision_at_1")
    rate = task.batch / statistics.fmean(lengths)
    return Trained(rate, times[0] - measured.began, measured.peak_mb, precision)
