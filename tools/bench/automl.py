"""Does a search pay? Plain training, random search and the default search, with the same wall clock.

python -m tools.bench.automl --data-root DIR --folder OUT [--minutes 30] [--seeds 1 2 3] [--arms plain random default]

Each arm trains with the same overrides and picks its model by `val Precision at Rank 1`; the unknown classes are
measured once, at the end. --epochs is more than the wall clock allows, so that plain training goes on for as long as
it lasts, and the searches have to make do with it. What is done is kept in OUT and not done again; a run that was
killed goes on where it was. The table is written to OUT/table.md after each run.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tao_skill.jobs.record import JobStatus  # noqa: E402
from tao_skill.run.launch_search import resume_search  # noqa: E402
from tao_skill.run.request import RunRequest  # noqa: E402
from tao_skill.run.result import RunResult  # noqa: E402
from tao_skill.run.results_root import open_store  # noqa: E402
from tao_skill.run.runner import run  # noqa: E402
from tao_skill.run.search_history import is_search  # noqa: E402

ARMS: dict[str, dict[str, Any]] = {
    "plain": {"automl_max_recommendations": 1},
    "random": {"automl_algorithm": "random"},
    "default": {},
}
# Small enough that two processor cores train several times in the time there is.
OVERRIDES = ["model.timm_name=mobilenetv4_conv_small", "input_width=64", "input_height=64", "batch_size=64",
             "val_batch_size=64"]  # fmt: skip
UNKNOWN = "test Precision at Rank 1"
MANY = 1000


def one_run(options: argparse.Namespace, arm: str, seed: int) -> dict[str, Any]:
    """Run one arm with one seed, or go on with it, or read what it came to."""
    folder = Path(options.folder) / f"{arm}-{seed}"
    done = folder / "outcome.json"
    if done.is_file():
        return dict(json.loads(done.read_text(encoding="utf-8")))
    result = _search(options, arm, seed, folder)
    assert result.search is not None
    search = result.search
    final = search["final_evaluation"] or {}
    history = json.loads(Path(search["history"]).read_text(encoding="utf-8"))
    outcome = {
        "arm": arm,
        "seed": seed,
        "trials": search["trials"],
        "epochs": sum(len(trial["reports"]) for trial in history["trials"]),
        "minutes": history["seconds"] / 60,
        "baseline": search["baseline"],
        "val": search["best"],
        "unknown": (final.get("metrics") or {}).get(UNKNOWN),
        "values": search["values"],
    }
    done.write_text(json.dumps(outcome, indent=2) + "\n", encoding="utf-8")
    return outcome


def _search(options: argparse.Namespace, arm: str, seed: int, folder: Path) -> RunResult:
    store = open_store(str(folder / "results"))
    for record in map(store.reconcile, store.list()):
        if is_search(record) and record.status in (JobStatus.ERROR, JobStatus.CANCELED):
            return resume_search(store, record.job_id)
    settings = {"automl_max_recommendations": MANY, "automl_max_minutes": options.minutes, "automl_seed": seed}
    request = RunRequest(
        action="train", data_root=options.data_root, results_root=str(folder / "results"),
        overrides=[*OVERRIDES, *options.overrides, f"num_epochs={options.epochs}", f"train.seed={seed}"],
        automl=[settings | ARMS[arm]],
    )  # fmt: skip
    return run(request)


def table(outcomes: list[dict[str, Any]], minutes: float) -> str:
    """Return the table: a row for each run, then the mean of each arm."""
    head = ["arm", "seed", "trials", "epochs", "minutes", "val P@1", "unknown P@1"]
    rows = [[one["arm"], one["seed"], one["trials"], one["epochs"], one["minutes"], one["val"], one["unknown"]]
            for one in outcomes]  # fmt: skip
    for arm in ARMS:
        own = [one for one in outcomes if one["arm"] == arm]
        if own:
            means = [_mean([one[name] for one in own]) for name in ("trials", "epochs", "minutes", "val", "unknown")]
            rows.append([arm, "mean", *means])
    lines = [f"# {minutes:g} minutes for each run", "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join(lines + [f"| {' | '.join(map(_cell, row))} |" for row in rows]) + "\n"


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else None


def _cell(value: Any) -> str:
    if value is None:
        return "none"
    return (
        f"{value:.4f}"
        if isinstance(value, float) and value <= 1
        else f"{value:.1f}"
        if isinstance(value, float)
        else str(value)
    )


def main() -> int:
    """Run what is not done yet; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--epochs", type=int, default=MANY, help="epochs of a full training, the same in each arm")
    parser.add_argument("--overrides", nargs="+", default=[])
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    outcomes = []
    # Arms take turns, so that what a machine does beside is spread over them.
    for seed in options.seeds:
        for arm in options.arms:
            outcomes.append(one_run(options, arm, seed))
            text = table(outcomes, options.minutes)
            (Path(options.folder) / "table.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
