"""Compare accuracy after equal epochs: is what is faster also as good?

python -m tools.bench.accuracy --train DIR --reference DIR --query DIR --network mobilenetv4_conv_small --epochs 10

All sides start from random weights and train on the same images, at the same rate from the first step on; P@1 is that
after the last epoch. ``plain`` is this project without what it computes beside the steps: the embedder's start, its
refits and the average of the weights. Beside the reference it tells whether being faster alone changes anything.

With ``--record FILE`` each training is written down when it is done, and the same command goes on where it was stopped;
a record of other settings, or of another machine, is refused.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tao_skill.processors import usable_processors
from tools.bench.machine import commit, describe
from tools.bench.records import differences, read_record, write_record
from tools.bench.training import Task, Trained, train_product, train_reference

__all__ = ["SIDES", "Side", "main", "settings_of", "table"]

Figures = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Side:
    """A column of the table: its title, and what trains it."""

    title: str
    train: Callable[[Task, int], Trained]


def _train_plain(task: Task, threads: int) -> Trained:
    return train_product(replace(task, computed_start=False, weights_average=False, refit=False), threads)


SIDES: Mapping[str, Side] = {
    "ours": Side("this project", train_product),
    "plain": Side("this project, plain", _train_plain),
    "reference": Side("reference", train_reference),
}


def main(words: Sequence[str] | None = None) -> None:
    """Train all sides with each seed and print a table."""
    options = _parser().parse_args(words)
    settings = settings_of(options)
    figures = _figures_of(options.record, settings)
    task = _task(options)
    for seed in options.seeds:
        for side in options.sides:
            if _key(side, seed) in figures:
                continue
            trained = SIDES[side].train(replace(task, seed=seed), options.threads)
            assert trained.precision_at_1 is not None, "both loops validate with compare_accuracy"
            figures[_key(side, seed)] = {"precision_at_1": trained.precision_at_1, "commit": commit()}
            write_record(options.record, {"settings": settings, "figures": figures})
            print(f"{_key(side, seed)}: {trained.precision_at_1:.4f}", file=sys.stderr, flush=True)
    print(table(settings, figures, options.sides, options.seeds))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("train", "reference", "query"):
        parser.add_argument(f"--{name}", type=Path, required=True, help="folder of class folders")
    parser.add_argument("--network", default="mobilenetv4_conv_small")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--threads", type=int, default=usable_processors())
    parser.add_argument("--record", type=Path, help="JSON file of the trainings that are done; read and written")
    return parser


def _task(options: argparse.Namespace) -> Task:
    return Task(
        options.train,
        options.reference,
        options.query,
        options.network,
        options.size,
        options.batch,
        steps=options.epochs * -(-_images(options.train) // options.batch),
        epochs=options.epochs,
        compare_accuracy=True,
    )


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return what every figure of a record depends on, but for the side and the seed."""
    data = {name: _folder(getattr(options, name)) for name in ("train", "reference", "query")}
    named = {name: getattr(options, name) for name in ("network", "size", "batch", "epochs")}
    return {**named, **data, "machine": describe(options.threads)}


def _folder(folder: Path) -> str:
    classes = sum(1 for each in folder.iterdir() if each.is_dir())
    return f"{_images(folder)} images of {classes} classes in {folder.resolve().name}"


def _images(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if path.is_file())


def _key(side: str, seed: int) -> str:
    return f"{side}, seed {seed}"


def _figures_of(path: Path | None, settings: Mapping[str, Any]) -> Figures:
    """Return the figures of a record that was kept with these settings; none where there is no record.

    Raises:
        SystemExit: the record was kept with others, or does not tell with which.
    """
    record = read_record(path)
    if not record:
        return {}
    found = ["it does not tell with which settings it was measured: it is of an older form"]
    if isinstance(record.get("settings"), dict) and isinstance(record.get("figures"), dict):
        found = differences(record["settings"], settings)
    if found:
        lines = "".join(f"\n  - {each}" for each in found)
        raise SystemExit(
            f"The record {path} can't be gone on with:{lines}\n"
            "Next: name another file after --record, delete this one, or give the options that it was made with."
        )
    figures: Figures = record["figures"]
    return figures


def table(settings: Mapping[str, Any], figures: Figures, sides: Sequence[str], seeds: Sequence[int]) -> str:
    """Return P@1 after the last epoch: a row for each seed, a column for each side, and the means."""
    rows = [[figures[_key(side, seed)] for side in sides] for seed in seeds]
    lines = [
        "; ".join(f"{name}: {value}" for name, value in settings.items() if name != "machine"),
        settings["machine"],
        f"Commits: {', '.join(sorted({figure['commit'] for row in rows for figure in row}))}.",
    ]
    values = [[figure["precision_at_1"] for figure in row] for row in rows]
    means = [statistics.fmean(column) for column in zip(*values, strict=True)]
    cells = [[str(name), *(f"{value:.4f}" for value in row)] for name, row in zip(seeds, values, strict=True)]
    cells.append(["mean", *(f"{value:.4f}" for value in means)])
    head = [["seed", *(SIDES[side].title for side in sides)], ["---"] * (len(sides) + 1)]
    return "\n\n".join(lines) + "\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in [*head, *cells])


if __name__ == "__main__":
    main()
