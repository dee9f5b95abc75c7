"""Compare accuracy after equal epochs: is what is faster also as good?

python -m tools.bench.accuracy --train DIR --reference DIR --query DIR --network mobilenetv4_conv_small --epochs 10

Both sides start from random weights and train on the same images; P@1 is that after the last epoch.
"""

import argparse
import os
import statistics
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
    print(describe(options.threads), "\n\n| seed | this project | reference |\n|---|---|---|")
    ours, theirs = [], []
    for seed in options.seeds:
        seeded = replace(task, seed=seed)
        ours.append(train_product(seeded, options.threads).precision_at_1 or 0.0)
        theirs.append(train_reference(seeded, options.threads).precision_at_1 or 0.0)
        print(f"| {seed} | {ours[-1]:.4f} | {theirs[-1]:.4f} |", flush=True)
    print(f"| mean | {statistics.fmean(ours):.4f} | {statistics.fmean(theirs):.4f} |")


if __name__ == "__main__":
    main()
