"""A search over real trainings of the recogniser, through the command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

TABLE = Path("metric_learning_recognition/retail-product-checkout-dataset_classification_demo")
SMALL = [
    "model.timm_name=resnet10t",
    "model.input_width=32",
    "model.input_height=32",
    "feat_dim=16",
    "batch_size=8",
    "num_epochs=3",
    "dataset.workers=0",
    "dataset.num_instance=2",
    "dataset.gaussian_blur.enabled=false",
]


def tao_skill(folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tao_skill", *words, "--json"], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, json.loads(done.stdout)


def draw(label: int, number: int) -> Image.Image:
    colour = np.random.default_rng(label).integers(30, 255, size=3)
    noise = np.random.default_rng([label, number]).normal(0, 40, size=(24, 24, 3))
    return Image.fromarray((colour + noise).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data root with small folders where the skill's table expects archives."""
    root = tmp_path_factory.mktemp("data")
    sets = {
        "known_classes/train": (range(6), range(4)),
        "known_classes/reference": (range(6), range(10, 11)),
        "known_classes/val": (range(6), range(20, 23)),
        "unknown_classes/reference": (range(6, 10), range(10, 11)),
        "unknown_classes/test": (range(6, 10), range(20, 22)),
    }
    for name, (classes, images) in sets.items():
        for label in classes:
            folder = root / TABLE / f"{name}.tar.gz" / f"class_{label}"
            folder.mkdir(parents=True)
            for number in images:
                draw(label, number).save(folder / f"{number}.png")
    return root


@pytest.mark.long
def test_training_searches_by_default_and_the_search_is_a_parent(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # R16 R19 R20 R25 R41 R69
    monkeypatch.setenv("TAO_SKILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TAO_RESULTS_ROOT", raising=False)
    ranges = json.dumps({"custom_param_ranges": {"train.batch_size": {"valid_options": [4, 8, 12]}}})
    settings = ["automl_max_recommendations=4", "automl_algorithm=random", ranges]
    code, trained = tao_skill(
        tmp_path, "run", "train", "--data-root", str(data_root), "--overrides", *SMALL, "--automl", *settings
    )
    assert code == 0, trained
    search = trained["search"]
    assert search["trials"] == 4
    assert search["metric"] == "val Precision at Rank 1"
    assert search["best"] >= search["baseline"]
    assert search["final_evaluation"]["status"] == "measured"
    assert "test Precision at Rank 1" in search["final_evaluation"]["metrics"]
    history = json.loads(Path(search["history"]).read_text())
    for trial in history["trials"]:
        assert trial["state"] in ("complete", "stopped")
        # Measured after each epoch, so that hopeless trials can be told early.
        assert [report["epoch"] for report in trial["reports"]] == list(range(1, trial["reports"][-1]["epoch"] + 1))
        spec = json.loads((tmp_path / "results" / trial["job_id"] / "job.json").read_text())["spec"]
        assert spec["train"]["batch_size"] % spec["dataset"]["num_instance"] == 0
        assert spec["model"]["timm_name"] == "resnet10t"
    # What a worker needs beside training itself, once its imports are there; a loaded machine may take longer.
    assert min(trial["overhead_seconds"] for trial in history["trials"][1:]) < 1.0
    left = {path.parent.parent.name for path in (tmp_path / "results").rglob("*.pth")}
    assert left == {search["best_child"]}
    code, evaluated = tao_skill(
        tmp_path, "run", "evaluate", "--data-root", str(data_root), "--parent-job-id", trained["job_id"]
    )
    assert code == 0, evaluated
    assert evaluated["checkpoint"] == trained["checkpoint"]


@pytest.mark.long
def test_trials_hand_on_the_checkpoint_that_is_best_by_the_searchs_metric(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAO_SKILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TAO_RESULTS_ROOT", raising=False)
    words = [
        "run",
        "train",
        "--data-root",
        str(data_root),
        "--overrides",
        *SMALL,
        "--automl",
        "automl_algorithm=random",
    ]
    few = ["automl_max_recommendations=2", "run_final_evaluation=false"]
    code, trained = tao_skill(tmp_path, *words, *few, "metric=train_loss", "direction=minimize")
    assert code == 0, trained
    record = json.loads((Path(trained["checkpoint"]).parent / "checkpoints.json").read_text())
    assert (record["monitor"], record["mode"]) == ("train_loss", "min")
    best = next(one for one in record["checkpoints"] if one["file"] == record["best"])
    assert best["metrics"]["train_loss"] == trained["search"]["best"]
    code, told = tao_skill(tmp_path, *words, *few, "metric=val precision at rank 1")
    assert code == 9
    assert "the nearest is val Precision at Rank 1" in json.dumps(told)


@pytest.mark.long
def test_trials_may_train_in_several_processes(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # R20 R50
    monkeypatch.setenv("TAO_SKILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TAO_RESULTS_ROOT", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    settings = ["automl_max_recommendations=2", "automl_max_concurrent=1", "automl_early_stopping=false"]
    others = [word for word in SMALL if not word.startswith(("batch_size", "num_epochs"))]
    together = [*others, "batch_size=4", "num_epochs=1", "train.cpu_processes=2"]
    code, trained = tao_skill(
        tmp_path, "run", "train", "--data-root", str(data_root), "--overrides", *together, "--automl", *settings
    )
    assert code == 0, trained
    trials = json.loads(Path(trained["search"]["history"]).read_text())["trials"]
    assert [(trial["state"], trial["attempts"]) for trial in trials] == [("complete", 1)] * 2, trials
    for trial in trials:
        assert "2 processes, each on a CPU" in (tmp_path / "results" / trial["job_id"] / "train/log.txt").read_text()
