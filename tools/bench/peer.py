"""The default search against NVIDIA's AutoML runner, on this skill's folder as it is, with the same number of trials.

python -m venv PEER && PEER/bin/pip install nvidia-tao-automl==7.2.0
python -m tools.bench.peer --peer-python PEER/bin/python --data-root DIR --folder OUT [--trials 8] [--seeds 1 2 3]

Both start scripts/train.py of the skill with the same overrides and search the schema's default parameters; the
runner by its virtual-environment platform, in the environment of this program. Best is the largest `val Precision at
Rank 1` of any epoch's or start's best checkpoint: what a trial says last, which both searches go by.
This project trains as many trials at once as it judges the machine to have room for, the runner one after the other:
this is part of what the seconds compare. A seed that is done is not done again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tao_skill.bank.skill import find_skill  # noqa: E402
from tao_skill.config.keys import get_leaf  # noqa: E402
from tao_skill.run.make_plan import plan_run  # noqa: E402
from tao_skill.run.request import RunRequest  # noqa: E402
from tao_skill.run.results_root import open_store  # noqa: E402
from tao_skill.run.runner import run  # noqa: E402
from tao_skill.run.search_history import load_history  # noqa: E402
from tao_skill.run.stage import stage_inputs  # noqa: E402
from tools.bench.processes import child_environment  # noqa: E402

METRIC = "val Precision at Rank 1"
OVERRIDES = [
    "model.timm_name=mobilenetv4_conv_small", "input_width=48", "input_height=48", "batch_size=32",
    "val_batch_size=32", "dataset.workers=0", "wandb.enable=false",
]  # fmt: skip
PEER = """
import json, sys
from tao_automl.runner import AutoMLRunner
from tao_sdk.platforms.virtualenv import VirtualEnvSDK
skill, venv, work, overrides, trials = sys.argv[1:6]
runner = AutoMLRunner(
    VirtualEnvSDK(venv_path=venv, work_dir=f"{work}/sdk"), skill_dir=skill, action="train", poll_interval=1)
result = runner.run(
    workspace_path=f"{work}/workspace",
    automl_settings={"algorithm": "bayesian", "automl_max_recommendations": int(trials), "run_baseline": False,
                     "metric": "val Precision at Rank 1", "direction": "maximize"},
    spec_overrides=json.loads(overrides), gpu_count=0,
)
print(json.dumps(result["history"], default=str))
"""


def planned(options: argparse.Namespace, seed: int, folder: Path) -> RunRequest:
    """Return what our search is asked."""
    return RunRequest(
        action="train", data_root=options.data_root, results_root=str(folder / "ours"),
        overrides=[*OVERRIDES, *options.overrides, f"num_epochs={options.epochs}", f"train.seed={seed}"],
        automl=[{"automl_max_recommendations": options.trials, "automl_seed": seed, "run_final_evaluation": False}],
    )  # fmt: skip


def ours(options: argparse.Namespace, seed: int, folder: Path) -> dict[str, Any]:
    """Search with this project."""
    result = run(planned(options, seed, folder))
    history = load_history(open_store(str(folder / "ours")).load(result.job_id))
    values = [trial.best_value for trial in history.trials]
    return {"values": values, "epochs": sum(trial.last_epoch for trial in history.trials)}


def theirs(options: argparse.Namespace, seed: int, folder: Path) -> dict[str, Any]:
    """Search with the runner of the peer, over the same complete spec."""
    plan = plan_run(planned(options, seed, folder))
    spec = stage_inputs(plan.spec, plan.inputs)
    overrides = {key: get_leaf(spec, key) for key in [*plan.overrides, *plan.inputs]}
    skill = find_skill(None).directory
    words = [options.peer_python, "-c", PEER, str(skill), sys.prefix, str(folder / "theirs"), json.dumps(overrides),
             str(options.trials)]  # fmt: skip
    (folder / "theirs").mkdir(parents=True, exist_ok=True)
    environment = child_environment({"TAO_SDK_STATE_DIR": str(folder / "theirs" / "state"), "HOME": str(folder)})
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    (folder / "theirs" / "log.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode != 0:
        raise SystemExit(f"The peer's runner failed: {folder / 'theirs' / 'log.txt'}")
    history = json.loads(done.stdout.splitlines()[-1])
    return {"values": [one.get("metric") for one in history], "epochs": options.epochs * len(history)}


def one_seed(options: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    """Run what is not done of a seed, ours first."""
    rows = []
    for name, place, search in (("this project", "ours", ours), ("nvidia-tao-automl", "theirs", theirs)):
        folder = Path(options.folder).resolve() / str(seed)
        done = folder / f"{name}.json"
        if not done.is_file():
            shutil.rmtree(folder / place, ignore_errors=True)  # one that broke off
            folder.mkdir(parents=True, exist_ok=True)
            begin = time.monotonic()
            found = search(options, seed, folder) | {"seed": seed, "search": name}
            found["seconds"] = time.monotonic() - begin
            done.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        rows.append(json.loads(done.read_text(encoding="utf-8")))
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return a row for each search."""
    lines = ["| search | seed | trials with a value | epochs | best val P@1 | seconds |", "|---|---|---|---|---|---|"]
    for row in rows:
        values = [value for value in row["values"] if value is not None]
        best = f"{max(values):.4f}" if values else "none"
        lines.append(
            f"| {row['search']} | {row['seed']} | {len(values)} | {row['epochs']} | {best} | {row['seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run what is not done yet; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True, help="python of an environment with nvidia-tao-automl")
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--overrides", nargs="+", default=[])
    options = parser.parse_args()
    options.peer_python = str(Path(options.peer_python).absolute())
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        rows += one_seed(options, seed)
        (Path(options.folder) / "table.md").write_text(table(rows), encoding="utf-8")
    print(table(rows), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
