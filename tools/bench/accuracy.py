"""Compare accuracy after equal epochs: is what is faster also as good?

python -m tools.bench.accuracy --train DIR --reference DIR --query DIR --network mobilenetv4_conv_small --epochs 10

Both sides start from random weights and train on the same images, at the same rate from the first step on; P@1 is that
after the last epoch. With ``--record FILE`` each training is written down when it is done, and the same command goes on
where it was stopped.
"""

import argparse
import json
import os
import statistics
import sys
from dataclasses import replace
from pathlib import Path

from tools.bench.machine import describe
from tools.bench.training import Task, train_product, train_reference


def main() -> None:
    """Train both sides with each seed and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("train", "reference", "query"):
        parser.add_argument(f"--{name}", type=Path, required=True, help="folder of class folders")
    parser.add_argument("--network", default="mobilenetv4_conv_small")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--record", type=Path, help="JSON file of the trainings that are done; read and written")
    options = parser.parse_args()
    images = sum(1 for path in options.train.rglob("*") if path.is_file())
    task = Task(
        options.train,
        options.reference,
        options.query,
        options.network,
        options.size,
        options.batch,
        steps=options.epochs * -(-images // options.batch),
        epochs=options.epochs,
        compare_accuracy=True,
    )
    sides = {"this project": train_product, "reference": train_reference}
    record = _read(options.record)
    for seed in options.seeds:
        for side, train in sides.items():
            key = f"{side}, seed {seed}"
            if key not in record:
                record[key] = train(replace(task, seed=seed), options.threads).precision_at_1 or 0.0
                _keep(record, options.record)
                print(f"{key}: {record[key]:.4f}", file=sys.stderr, flush=True)
    rows = [[record[f"{side}, seed {seed}"] for side in sides] for seed in options.seeds]
    print(describe(options.threads), "\n\n| seed | this project | reference |\n|---|---|---|")
    means = [statistics.fmean(column) for column in zip(*rows, strict=True)]
    for name, (ours, theirs) in [*zip(options.seeds, rows, strict=True), ("mean", means)]:
        print(f"| {name} | {ours:.4f} | {theirs:.4f} |")


def _read(record: Path | None) -> dict[str, float]:
    if record is None or not record.is_file():
        return {}
    done: dict[str, float] = json.loads(record.read_text(encoding="utf-8"))
    return done


def _keep(done: dict[str, float], record: Path | None) -> None:
    if record is not None:
        record.write_text(json.dumps(done, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
