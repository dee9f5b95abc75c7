"""Train one model for each loss and compare them on known and unknown classes: ``python -m tools.bench.losses``.

Each run is a process of its own and a line in a file, so that an interrupted comparison goes on where it stopped. The
data root is laid out as the skill's table of data sources says. More rows: ``--row NAME KEY=VALUE …``, once for each.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

KNOWN, UNKNOWN = "val Precision at Rank 1", "test Precision at Rank 1"
# The rates are the template's, which all losses bear since the embedder is computed anew at each validation.
COMMON = {
    "train.batch_size": 64, "dataset.num_instance": 4, "train.val_batch_size": 64,
    "train.optim.warmup_iters": 2, "train.validation_interval": 3,
}  # fmt: skip
LOSSES = (
    "triplet", "contrastive", "multi_similarity", "supcon", "ntxent", "circle",
    "arcface", "subcenter_arcface", "proxy_anchor", "soft_triple",
)  # fmt: skip
Settings = dict[str, Any]


def main() -> None:
    """Train what is not in the file yet, and print the table of all rows."""
    options = _parser().parse_args()
    rows = _rows(options)
    for name, settings in rows.items():
        if name in _done(options.results, settings):
            continue
        print(f"{name} …", file=sys.stderr, flush=True)
        line = {"row": name, "settings": settings, **_run(settings, options)}
        options.results.parent.mkdir(parents=True, exist_ok=True)
        with options.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    print(_table(options.results, list(rows)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", required=True, help="root of the skill's data sources")
    parser.add_argument("--trunk", required=True, type=Path, help="pretrained weights of the timm model")
    parser.add_argument("--timm-name", default="tf_efficientnet_lite0")
    parser.add_argument("--size", type=int, default=96, help="side of the input, in pixels")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--losses", nargs="*", default=LOSSES, choices=LOSSES, metavar="LOSS")
    parser.add_argument("--memory", type=int, default=1024, help="size of the memory in the row that has one")
    parser.add_argument("--row", nargs="+", action="append", default=[], metavar="NAME KEY=VALUE")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of all rows")
    parser.add_argument("--results", type=Path, default=Path("bench/losses.jsonl"), help="file of finished runs")
    parser.add_argument("--jobs", type=Path, default=Path("bench/losses"), help="folder of the trainings")
    return parser


def _rows(options: argparse.Namespace) -> dict[str, Settings]:
    """Return the settings of every row by its name."""
    common: Settings = {
        **COMMON,
        "train.num_epochs": options.epochs,
        "model.timm_name": options.timm_name,
        "model.pretrained_trunk_path": str(options.trunk.resolve()),
        "model.input_width": options.size,
        "model.input_height": options.size,
    }
    rows = {loss: common | {"train.loss.name": loss} for loss in options.losses}
    if "supcon" in rows:
        rows["supcon + memory"] = rows["supcon"] | {"train.cross_batch_memory_size": options.memory}
    for name, *words in options.row:
        rows[name] = common | dict(word.split("=", 1) for word in words)
    shared = dict(word.split("=", 1) for word in options.set)
    return {name: settings | shared for name, settings in rows.items()}


def _run(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Train and measure in processes of their own; what goes wrong stands in the row."""
    begun = time.perf_counter()
    place = ["--data-root", options.data_root, "--results-root", str(options.jobs)]
    words = [f"{key}={json.dumps(value) if isinstance(value, bool) else value}" for key, value in settings.items()]
    trained = _tao_skill("run", "train", "--automl-policy", "off", *place, "--overrides", *words)
    if "error" in trained:
        return {"error": trained["error"]["message"]}
    seconds = time.perf_counter() - begun
    evaluated = _tao_skill("run", "evaluate", *place, "--parent-job-id", trained["job_id"])
    if "error" in evaluated:
        return {"error": evaluated["error"]["message"]}
    told = json.loads((Path(trained["results_dir"]) / "train" / "results.json").read_text())
    return {
        "known": told["metrics"][KNOWN],
        "unknown": evaluated["metrics"][UNKNOWN],
        "best_epoch": told["best_epoch"],
        "seconds": round(seconds, 1),
        "warnings": told["warnings"],
        "job_id": trained["job_id"],
    }


def _tao_skill(*words: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "tao_skill", *words, "--json"], stdout=subprocess.PIPE, check=False)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _lines(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []


def _done(results: Path, settings: Settings) -> set[str]:
    """Return the names of rows that ran to their end with these settings."""
    return {line["row"] for line in _lines(results) if line["settings"] == settings and "error" not in line}


def _table(results: Path, names: Sequence[str]) -> str:
    newest = {line["row"]: line for line in _lines(results)}
    rows = ["| loss | P@1 known | P@1 unknown | best epoch | minutes |", "|---|---|---|---|---|"]
    for name in names:
        line = newest[name]
        if "error" in line:
            rows.append(f"| {name} | {line['error']} | | | |")
            continue
        numbers = f"{line['known']:.3f} | {line['unknown']:.3f} | {line['best_epoch'] + 1} | {line['seconds'] / 60:.1f}"
        rows.append(f"| {name} | {numbers} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
