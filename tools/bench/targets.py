"""Write the table of targets: this project beside a plain loop, alternately, in one run.

python -m tools.bench.targets --out targets.md              the whole table, about half an hour on two quiet cores
python -m tools.bench.targets --only pipeline --rounds 5    some rows
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from tools.bench.input_pipeline import pipeline_rows
from tools.bench.machine import describe
from tools.bench.retrieval_rows import retrieval_rows
from tools.bench.second_epoch import decode_rows
from tools.bench.start import command_rows, start_rows
from tools.bench.table import Row, markdown
from tools.bench.train_rows import resnet_rows, small_network_rows
from tools.bench.validation import validation_rows

_HOW = (
    "{rounds} alternating pairs, medians. The reference trains with OMP_WAIT_POLICY=PASSIVE, which serves it best: as "
    "a user would start it, a small network is a third slower."
)

Rows = Callable[[argparse.Namespace, Path], list[Row]]

PARTS: dict[str, Rows] = {
    "pipeline": lambda options, folder: pipeline_rows(folder, options.rounds),
    "resnet": lambda options, folder: resnet_rows(folder, options.rounds, options.threads),
    "small": lambda options, folder: small_network_rows(folder, options.rounds, options.threads, options.emoji),
    "validation": lambda options, folder: validation_rows(folder, options.rounds, options.threads),
    "retrieval": lambda options, _: retrieval_rows(options.rounds, options.threads),
    "start": lambda options, folder: start_rows(folder, options.rounds, options.threads),
    "commands": lambda options, folder: command_rows(folder, options.rounds),
    "decodes": lambda _, folder: decode_rows(folder),
}


def main() -> None:
    """Measure the parts that are asked for, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5, help="alternating pairs of runs")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of PyTorch, on both sides")
    parser.add_argument("--emoji", type=Path, help="folder of class folders of 96-pixel images, instead of made ones")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            rows += PARTS[name](options, Path(folder))
        text = f"{describe(options.threads)}\n\n{_HOW.format(rounds=options.rounds)}\n\n{markdown(rows)}\n"
        print(f"{name} is measured", flush=True)
        if options.out:  # after each part, so that a run that is cut short leaves what it measured
            options.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
