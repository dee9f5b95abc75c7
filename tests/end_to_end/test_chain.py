"""The main job through the command line: train, evaluate, recognise, and survive a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

TABLE = Path("metric_learning_recognition/retail-product-checkout-dataset_classification_demo")
SMALL = [
    "model.timm_name=resnet10t",
    "model.input_width=32",
    "model.input_height=32",
    "feat_dim=16",
    "batch_size=8",
    "dataset.num_instance=2",
    "dataset.gaussian_blur.enabled=false",
]


def tao_skill(folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """Run a command and return its exit code and the one document on its stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "tao_skill", *words, "--json"], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, json.loads(done.stdout)


def test_dictionaries_of_the_text_work_verbatim(data_root: Path, tmp_path: Path) -> None:  # R29-R35 R59 R64
    known, unknown = (f"{data_root}/{TABLE}/{name}_classes" for name in ("known", "unknown"))
    train = {
        "train.num_epochs": 2,
        "train.checkpoint_interval": 1,
        "train.validation_interval": 1,
        "train.num_gpus": 1,
        "dataset.train_dataset": f"{known}/train.tar.gz",
        "dataset.val_dataset": {"reference": f"{known}/reference.tar.gz", "query": f"{known}/val.tar.gz"},
    }
    evaluate = {
        "evaluate.checkpoint": "<selected train/AutoML checkpoint>",
        "dataset.val_dataset": {"reference": f"{unknown}/reference.tar.gz", "query": f"{unknown}/test.tar.gz"},
    }
    inference = {
        "inference.checkpoint": "<selected train/AutoML checkpoint>",
        "dataset.val_dataset": {"reference": f"{unknown}/reference.tar.gz"},
        "inference.input_path": f"{unknown}/test.tar.gz",
    }
    code, trained = tao_skill(
        tmp_path, "run", "train", "--automl-policy", "off", "--overrides", json.dumps(train), *SMALL
    )
    assert code == 0, trained
    assert trained["status"] == "COMPLETE"
    assert "val Precision at Rank 1" in trained["metrics"]
    parent = ["--parent-job-id", trained["job_id"]]
    code, evaluated = tao_skill(tmp_path, "run", "evaluate", "--overrides", json.dumps(evaluate), *parent)
    assert code == 0, evaluated
    assert evaluated["checkpoint"] == trained["checkpoint"]
    assert "test Precision at Rank 1" in evaluated["metrics"]
    code, recognised = tao_skill(tmp_path, "run", "inference", "--overrides", json.dumps(inference), *parent)
    assert code == 0, recognised
    table = Path(recognised["results_dir"]) / "inference" / "result.csv"
    assert table.read_text().splitlines()[0] == "path,label_1,distance_1"
    assert len(table.read_text().splitlines()) == 1 + 8
    # The archive was extracted into the cache: images are named as they are in the archive.
    assert table.read_text().splitlines()[1].startswith("class_6/20.png,")


def test_killed_job_is_recorded_and_resumes_to_the_same_weights(data_root: Path, tmp_path: Path) -> None:
    """kill -9 of the trainer in the middle, `jobs resume`: the weights of the uninterrupted training."""
    words = ["run", "train", "--automl-policy", "off", "--data-root", str(data_root)]
    words += ["--overrides", *SMALL, "num_epochs=6", "train.checkpoint_interval_unit=step", "dataset.workers=0"]
    whole = tao_skill(tmp_path, *words, "--results-root", str(tmp_path / "whole"))[1]
    root = tmp_path / "killed"
    runner = subprocess.Popen(
        [sys.executable, "-m", "tao_skill", *words, "--results-root", str(root), "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    until = time.monotonic() + 120
    while time.monotonic() < until and len(list(root.glob("*/train/model_epoch_*.pth"))) < 4:
        time.sleep(0.02)
    record = json.loads(next(root.glob("*/job.json")).read_text())
    os.killpg(record["pid"], signal.SIGKILL)
    failed = json.loads(runner.communicate()[0])
    assert runner.returncode != 0
    job = record["job_id"]
    code, shown = tao_skill(tmp_path, "jobs", "show", job, "--results-root", str(root))
    assert code == 0
    assert shown["status"] == "ERROR", failed
    code, resumed = tao_skill(tmp_path, "jobs", "resume", job, "--results-root", str(root))
    assert code == 0, resumed
    assert resumed["job_id"] == job
    last = [newest(Path(result["results_dir"]) / "train") for result in (whole, resumed)]
    assert last[0].name == last[1].name
    first, second = (torch.load(path, weights_only=True)["state_dict"] for path in last)
    assert all(torch.equal(first[name], second[name]) for name in first)


def newest(folder: Path) -> Path:
    return folder / str(json.loads((folder / "checkpoints.json").read_text())["latest"])


def test_dry_run_writes_nothing(data_root: Path, tmp_path: Path) -> None:
    code, plan = tao_skill(tmp_path, "run", "train", "--data-root", str(data_root), "--dry-run")
    assert code == 0
    assert plan["dispatch"] == "tao-run-automl"
    assert plan["job_id"] is None
    assert list(tmp_path.iterdir()) == []
