"""From training to engines by job ids alone, with an input that is twice as wide as high; each step's shapes."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from tao_skill.metric_learning.model.checkpoint import HEADER

pytestmark = pytest.mark.long
TABLE = Path("metric_learning_recognition/retail-product-checkout-dataset_classification_demo")
# Number of classes and of images in each.
SETS = {
    "known_classes/train": (4, 4),
    "known_classes/reference": (4, 1),
    "known_classes/val": (4, 1),
    "known_classes/test": (4, 3),
    "unknown_classes/reference": (5, 1),
    "unknown_classes/test": (5, 2),
}
WIDTH, HEIGHT, FEATURES = 192, 96, 24


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data where the skill's table expects them."""
    root = tmp_path_factory.mktemp("chain")
    for number, (name, (classes, images)) in enumerate(SETS.items()):
        folder = root / "data" / TABLE / name
        for label in range(classes):
            colour = np.random.default_rng(label).integers(30, 255, size=3)
            (folder / f"class_{label}").mkdir(parents=True)
            for index in range(images):
                noise = np.random.default_rng([number, label, index]).normal(0, 20, size=(24, 48, 3))
                picture = Image.fromarray((colour + noise).clip(0, 255).astype(np.uint8))
                picture.save(folder / f"class_{label}" / f"{index}.png")
        with tarfile.open(f"{folder}.tar.gz", "w:gz") as archive:
            archive.add(folder, folder.name)
    return root


def command(place: Path, action: str, *words: str, parent: str = "") -> tuple[int, dict[str, Any]]:
    """Run an action by the command line; return the exit code and the document on stdout."""
    line = [sys.executable, "-m", "tao_skill", "run", action, "--data-root", str(place / "data"), "--json"]
    line += ["--parent-job-id", parent] if parent else []
    line += ["--overrides", *words] if words else []
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(place), "TAO_SKILL_CACHE": str(place / "cache")}
    done = subprocess.run(line, cwd=place, capture_output=True, text=True, check=False, env=environment)
    return done.returncode, json.loads(done.stdout)


def run(place: Path, action: str, *words: str, parent: str = "") -> dict[str, Any]:
    """Run an action that must succeed, and return its result."""
    code, result = command(place, action, *words, parent=parent)
    assert code == 0, result
    return result


@pytest.fixture(scope="module")
def train_job(place: Path) -> dict[str, Any]:
    """Return the result of a short training."""
    small = ["model.timm_name=test_resnet", f"input_width={WIDTH}", f"input_height={HEIGHT}", f"feat_dim={FEATURES}"]
    data = ["num_epochs=1", "batch_size=8", "dataset.num_instance=2", "dataset.workers=0", "wandb.enable=false"]
    return run(place, "train", "automl_policy=off", *small, *data)


@pytest.fixture(scope="module")
def export_job(place: Path, train_job: dict[str, Any]) -> dict[str, Any]:
    """Return the result of the export that starts from the training's job id."""
    return run(place, "export", parent=train_job["job_id"])


@pytest.fixture(scope="module")
def engine_job(place: Path, export_job: dict[str, Any]) -> dict[str, Any]:
    """Return the result of building an INT8 engine from the export's job id."""
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    words = ["gen_trt_engine.tensorrt.library=tensorrt_rtx", "gen_trt_engine.tensorrt.max_batch_size=8"]
    return run(
        place, "gen_trt_engine", *words, "trt_data_type=INT8", "cal_batch_size=4", "cal_batches=3",
        parent=export_job["job_id"],
    )  # fmt: skip


def test_training_has_the_shape_that_was_asked_for(train_job: dict[str, Any]) -> None:
    header = torch.load(train_job["checkpoint"], weights_only=True)[HEADER]
    shape = header["model"]
    assert (shape["input_width"], shape["input_height"], shape["feat_dim"]) == (WIDTH, HEIGHT, FEATURES)


def test_export_has_the_shape_of_the_training(export_job: dict[str, Any]) -> None:  # R61 R62 R63
    graph = onnx.load(export_job["checkpoint"]).graph
    assert [size.dim_value for size in graph.input[0].type.tensor_type.shape.dim[1:]] == [3, HEIGHT, WIDTH]
    assert graph.output[0].type.tensor_type.shape.dim[1].dim_value == FEATURES
    assert export_job["metrics"]["worst cosine"] > 0.9999


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_evaluate_and_inference_run_the_onnx_file(
    place: Path, export_job: dict[str, Any], engine: str
) -> None:  # R59 R64
    pytest.importorskip(engine)
    words = ["eval_batch_size=4", f"evaluate.engine={engine}", "evaluate.save_embeddings=true"]
    evaluated = run(place, "evaluate", *words, parent=export_job["job_id"])
    assert evaluated["checkpoint"] == export_job["checkpoint"]
    folder = Path(evaluated["results_dir"]) / "evaluate"
    document = json.loads((folder / "results.json").read_text())
    assert (document["engine"], document["num_references"], document["num_queries"]) == (engine, 5, 10)
    embedded = parquet.read_table(folder / "embeddings.parquet").column("embedding").to_pylist()
    assert [len(row) for row in embedded] == [FEATURES] * 15
    recognised = run(place, "inference", "infer_batch_size=4", parent=export_job["job_id"])
    lines = (Path(recognised["results_dir"]) / "inference" / "result.csv").read_text().splitlines()
    assert len(lines) == 1 + 10


def test_engine_is_built_from_the_export(engine_job: dict[str, Any]) -> None:  # R71 R73 R75
    engine = Path(engine_job["checkpoint"])
    facts = json.loads(engine.with_name("model.engine.json").read_text())
    shape = facts["model"]
    assert (shape["input_width"], shape["input_height"], shape["feat_dim"]) == (WIDTH, HEIGHT, FEATURES)
    assert (facts["precision"], facts["smallest_batch"], facts["largest_batch"]) == ("INT8", 1, 8)
    assert (engine.parent / "cal.bin").is_file()
    assert engine_job["metrics"]["INT8 mean cosine"] > 0.95


@pytest.mark.parametrize("action", ["evaluate", "inference"])
def test_engine_is_found_by_the_job_that_built_it(place: Path, engine_job: dict[str, Any], action: str) -> None:
    code, result = command(place, action, parent=engine_job["job_id"])
    if torch.cuda.is_available():
        assert code == 0, result
        return
    assert result["error"]["code"] == "not_available"
    assert "no NVIDIA GPU" in result["error"]["message"]
    assert "ONNX file does the same" in result["error"]["next_step"]
    spec = json.loads((Path(result["results_dir"]) / "job.json").read_text())["spec"]
    assert spec[action]["trt_engine"] == engine_job["checkpoint"]
