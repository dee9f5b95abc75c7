"""From training to engines by job ids alone, with an input that is twice as wide as high."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

pytestmark = pytest.mark.long
TABLE = Path("metric_learning_recognition/retail-product-checkout-dataset_classification_demo")
SETS = {
    "known_classes/train": (6, 4),
    "known_classes/reference": (6, 1),
    "known_classes/val": (6, 2),
    "known_classes/test": (6, 2),
    "unknown_classes/reference": (5, 1),
    "unknown_classes/test": (5, 2),
}


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


def run(place: Path, action: str, *words: str, parent: str = "") -> dict[str, Any]:
    """Run an action by the command line and return its result."""
    command = [sys.executable, "-m", "tao_skill", "run", action, "--data-root", str(place / "data"), "--json"]
    command += ["--parent-job-id", parent] if parent else []
    command += ["--overrides", *words] if words else []
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(place), "TAO_SKILL_CACHE": str(place / "cache")}
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def export_job(place: Path) -> dict[str, Any]:
    """Train, export by the training's job id, and return the export's result."""
    small = ["model.timm_name=resnet10t", "input_width=192", "input_height=96", "feat_dim=24", "num_epochs=1"]
    data = ["batch_size=8", "dataset.num_instance=2", "dataset.workers=1"]
    trained = run(place, "train", "automl_policy=off", *small, *data)
    return run(place, "export", parent=trained["job_id"])


def test_export_has_the_shape_of_the_training(export_job: dict[str, Any]) -> None:  # R61 R62 R63
    graph = onnx.load(export_job["checkpoint"]).graph
    assert [size.dim_value for size in graph.input[0].type.tensor_type.shape.dim[1:]] == [3, 96, 192]
    assert graph.output[0].type.tensor_type.shape.dim[1].dim_value == 24
    assert export_job["metrics"]["worst cosine"] > 0.9999


def test_evaluate_and_inference_find_the_onnx_file(place: Path, export_job: dict[str, Any]) -> None:  # R59 R64
    evaluated = run(place, "evaluate", "eval_batch_size=4", parent=export_job["job_id"])
    assert evaluated["checkpoint"] == export_job["checkpoint"]
    document = json.loads((Path(evaluated["results_dir"]) / "evaluate" / "results.json").read_text())
    assert document["engine"] in ("openvino", "onnxruntime")
    assert document["num_queries"] == 10
    recognised = run(place, "inference", "inference.batch_size=4", parent=export_job["job_id"])
    lines = (Path(recognised["results_dir"]) / "inference" / "result.csv").read_text().splitlines()
    assert len(lines) == 1 + 10


def test_engine_is_built_from_the_export(place: Path, export_job: dict[str, Any]) -> None:  # R71 R75
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    words = ["gen_trt_engine.tensorrt.library=tensorrt_rtx", "gen_trt_engine.tensorrt.max_batch_size=8"]
    calibration = "gen_trt_engine.tensorrt.calibration"
    words += [
        "gen_trt_engine.tensorrt.data_type=INT8",
        f"{calibration}.cal_batch_size=4",
        f"{calibration}.cal_batches=3",
    ]
    built = run(place, "gen_trt_engine", *words, parent=export_job["job_id"])
    engine = Path(built["checkpoint"])
    assert engine.is_file()
    facts = json.loads(engine.with_name("model.engine.json").read_text())
    assert (facts["model"]["input_width"], facts["model"]["input_height"]) == (192, 96)
    assert (facts["precision"], facts["largest_batch"]) == ("INT8", 8)
    assert (engine.parent / "cal.bin").is_file()
