"""Write the table of targets: this project beside a plain loop, alternately, in one run.

python -m tools.bench.targets                               the whole page, about half an hour on two quiet cores
python -m tools.bench.targets --only pipeline --rounds 5    some parts, printed; written where --out says so
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tao_skill.processors import usable_processors
from tools.bench.device import DEVICES, use
from tools.bench.input_pipeline import pipeline_rows
from tools.bench.machine import describe
from tools.bench.retrieval_rows import retrieval_rows
from tools.bench.second_epoch import decode_rows
from tools.bench.start import command_rows, start_rows
from tools.bench.table import Row, markdown
from tools.bench.train_rows import resnet_rows, small_network_rows
from tools.bench.validation import validation_rows

__all__ = ["PARTS", "Part", "main", "page"]

PAGE = Path("references/targets.md")

_READING = """\
Both sides do the same work on the same machine in turn, {rounds} times each, and who begins alternates: what else the
machine does hits both alike. The reference is the training loop of `tools/bench/reference_loop.py`: torchvision's
transforms on PIL images, a DataLoader with two processes, fp32, pytorch-metric-learning's loss, miner, sampler and
tester, all with their defaults. It trains and validates with OMP_WAIT_POLICY=PASSIVE, which serves it best: as a user
would start it, a small network is a third slower.

In each row stand the medians of both sides, then the **ratio** this project / reference: the median of the rounds'
ratios, and the smallest and the largest of them. A target of *≥ 3* asks for a rate at least three times the
reference's, one of *≤ 0.5* for at most half of its time or memory; *yes* says that the median reaches it. A row without
a reference stands against a budget, in its own unit."""


@dataclass(frozen=True)
class Part:
    """A section of the page: its title, what its rows mean, and what measures them in a folder of its own."""

    title: str
    meaning: str
    rows: Callable[[argparse.Namespace, Path], list[Row]]


PARTS: Mapping[str, Part] = {
    "pipeline": Part(
        "Input pipeline",
        "From JPEG files to what a network of 224 pixels takes, with all augmentations of training, on one core. In "
        "the first epoch files are decoded; later their pixels come from a cache, which the reference has not. The "
        "reference's blur multiplies with subnormal numbers, which some processors do slowly. In the rows that say so "
        "they are flushed to zero on both sides: no setting of a trainer does it, but it is the fairer reading.",
        lambda options, folder: pipeline_rows(folder, options.rounds),
    ),
    "resnet": Part(
        "Training a large network",
        "Images per second of a whole training step, loading included, from the second step on; files of 256 × 256 "
        "pixels. Memory is the peak of the training's process and all that it starts, in 10^6 bytes.",
        lambda options, folder: resnet_rows(folder, options.rounds, options.threads),
    ),
    "small": Part(
        "Training a small network",
        "The same with a network so small that loading images and what each step costs beside the network weigh most. "
        "Images are made on the spot, or those of the folder that `--emoji` names.",
        lambda options, folder: small_network_rows(folder, options.rounds, options.threads, options.emoji),
    ),
    "validation": Part(
        "Validation",
        "Embedding 512 image files with the settings of a validation during training: decoding is included, and where "
        "the network computes in bf16, copying it.",
        lambda options, folder: validation_rows(folder, options.rounds, options.threads),
    ),
    "retrieval": Part(
        "Retrieval metrics",
        "All retrieval metrics of random embeddings, and the cluster metrics, beside pytorch-metric-learning's "
        "AccuracyCalculator. Rates are runs per second.",
        lambda options, _: retrieval_rows(options.rounds, options.threads),
    ),
    "start": Part(
        "Start of a training",
        "Seconds from the command to the first step. This project also checks its spec, validates once and computes "
        "its embedder from the training images by then; the second row is without the latter.",
        lambda options, folder: start_rows(folder, options.rounds, options.threads),
    ),
    "commands": Part(
        "Commands",
        "Processor time of a command in a process of its own, from a warm disk; the figures are the median, and the "
        "range. There is nothing to compare them with.",
        lambda options, folder: command_rows(folder, options.rounds),
    ),
    "decodes": Part(
        "Decoded files",
        "How many image files a training of two epochs decodes more than once, and how many a second training on the "
        "same images decodes. Counted once, as it is the same each time.",
        lambda _, folder: decode_rows(folder),
    ),
}


def main(words: Sequence[str] | None = None) -> None:
    """Measure the parts that are asked for, and print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, help="parts to measure; the page then isn't written")
    parser.add_argument("--rounds", type=int, default=5, help="alternating pairs of runs")
    parser.add_argument("--threads", type=int, default=usable_processors(), help="of PyTorch, on both sides")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="a GPU if there is one, CPUs, or a GPU")
    parser.add_argument("--emoji", type=Path, help="folder of class folders of 96-pixel images, instead of made ones")
    parser.add_argument("--out", type=Path, help=f"Markdown file to write; {PAGE} where all is measured")
    options = parser.parse_args(words)
    use(options.device)
    out = options.out or (None if options.only else PAGE)
    measured: dict[str, list[Row]] = {}
    for name in options.only or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            measured[name] = PARTS[name].rows(options, Path(folder))
        text = page(measured, options)
        print(f"{name} is measured", flush=True)
        if out:  # after each part, so that a run that is cut short leaves what it measured
            out.write_text(text, encoding="utf-8")
    print(text)


def page(measured: Mapping[str, list[Row]], options: argparse.Namespace) -> str:
    """Return the page of the parts that are measured, by their names in PARTS."""
    command = f"python -m tools.bench.targets --rounds {options.rounds} --threads {options.threads}"
    command += f" --only {' '.join(measured)}" if len(measured) < len(PARTS) else ""
    command += f" --emoji {options.emoji.name}" if options.emoji else ""
    sections = [
        "# This project beside a plain training loop",
        f"Written by `{command}`; don't edit. What else is measured, and how to read it: [measuring.md](measuring.md).",
        describe(options.threads),
        _READING.format(rounds=options.rounds),
    ]
    for name, rows in measured.items():
        sections += [f"## {PARTS[name].title}", PARTS[name].meaning, markdown(rows)]
    return "\n\n".join(sections) + "\n"


if __name__ == "__main__":
    main()
