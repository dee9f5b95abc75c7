"""The start: until a training's first step, and until a command has answered."""

import sys
from dataclasses import replace
from pathlib import Path

from tools.bench.pictures import make_classes
from tools.bench.processes import run_measured
from tools.bench.table import Row, pairs
from tools.bench.training import Task, train_product, train_reference

__all__ = ["COMMANDS", "command_rows", "start_rows"]

_DATA = ("dataset.train_dataset", "dataset.val_dataset.reference", "dataset.val_dataset.query")
#: Commands and the processor time that each may take, in milliseconds.
COMMANDS: dict[str, tuple[list[str], float]] = {
    "--help": (["--help"], 200),
    "schema train": (["schema", "train"], 250),
    "run train --dry-run --json": (["run", "train", "--automl-policy", "off", "--dry-run", "--json"], 400),
}


def start_rows(folder: Path, rounds: int, threads: int) -> list[Row]:
    """Compare the time from the command to the first step, with 100 images."""
    images, few = make_classes(folder / "train", 25, 4, 96, 96), make_classes(folder / "val", 2, 1, 96, 96)
    task = Task(images, few, few, "resnet18", 96, 16, steps=3)
    row = Row("start of training until the first step, 100 images, resnet18", "s", 0.6, at_most=True)
    other = Row("the same without an embedder computed from the images", "s", 0.6, at_most=True)

    def ours() -> None:
        row.ours.append(train_product(task, threads).start_s)
        other.ours.append(train_product(replace(task, computed_start=False), threads).start_s)

    def theirs() -> None:
        row.theirs.append(train_reference(task, threads).start_s)
        other.theirs.append(row.theirs[-1])

    pairs(rounds, ours, theirs)
    return [row, other]


def command_rows(folder: Path, rounds: int) -> list[Row]:
    """Measure the processor time of commands, from a warm disk."""
    images = make_classes(folder / "train", 4, 4, 32, 32)
    rows = []
    for name, (words, budget) in COMMANDS.items():
        row = Row(f"`python -m tao_skill {name}`", "ms of CPU time", budget, at_most=True)
        command = [sys.executable, "-m", "tao_skill", *words]
        if "run" in words:
            command += ["--overrides", "train.batch_size=8"]
            command += [f"{key}={images}" for key in _DATA]
        for _ in range(rounds + 1):
            row.ours.append(1000 * run_measured(command).cpu_s)
        del row.ours[0]
        rows.append(row)
    return rows
