"""Engines: built with the real parser and builder of TensorRT for RTX, which work without a GPU."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import onnxruntime
import pytest
import torch

from tao_skill.config.keys import nest
from tao_skill.errors import CheckpointError, DataError, JobError, NotAvailableError, SpecError, UsageError
from tao_skill.metric_learning.actions import run_action
from tao_skill.metric_learning.engines import tensorrt_calls
from tao_skill.metric_learning.engines.batches import Array

pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
CALIBRATION = "gen_trt_engine.tensorrt.calibration"


def settings(exported: dict[str, Any], folder: Path, **more: Any) -> dict[str, Any]:
    return nest(
        {
            "gen_trt_engine.onnx_file": exported["checkpoint"],
            "gen_trt_engine.trt_engine": str(folder / "model.engine"),
            "gen_trt_engine.tensorrt.library": "tensorrt_rtx",
            "gen_trt_engine.tensorrt.min_batch_size": 2,
            "gen_trt_engine.tensorrt.opt_batch_size": 4,
            "gen_trt_engine.tensorrt.max_batch_size": 4,
            "gen_trt_engine.tensorrt.workspace_size": 512,
            **more,
        }
    )


def int8(task: dict[str, Path], folder: Path, batches: int = 3) -> dict[str, Any]:
    return {
        "gen_trt_engine.tensorrt.data_type": "INT8",
        f"{CALIBRATION}.cal_image_dir": [str(task["train"]), str(task["reference"])],
        f"{CALIBRATION}.cal_cache_file": str(folder / "cal.bin"),
        f"{CALIBRATION}.cal_batch_size": 4,
        f"{CALIBRATION}.cal_batches": batches,
    }


@pytest.mark.parametrize("data_type", ["FP32", "FP16", "BF16"])
def test_engine_is_built_in_each_float_type(exported: dict[str, Any], tmp_path: Path, data_type: str) -> None:
    given = settings(exported, tmp_path, **{"gen_trt_engine.tensorrt.data_type": data_type})
    result = run_action("gen_trt_engine", given, results_dir=tmp_path)
    assert Path(result["checkpoint"]).stat().st_size == result["bytes"] > 1e6
    facts = json.loads((tmp_path / "model.engine.json").read_text())
    assert facts["precision"] == data_type
    assert (facts["smallest_batch"], facts["best_batch"], facts["largest_batch"]) == (2, 4, 4)
    assert (facts["model"]["input_width"], facts["model"]["input_height"]) == (48, 32)
    assert facts["fingerprint"] == exported["fingerprint"]
    assert facts["recognition"] == exported["report"]["model"]["recognition"]


def test_int8_is_calibrated_once_for_the_same_model_and_images(
    exported: dict[str, Any], task: dict[str, Path], tmp_path: Path
) -> None:
    found = []
    for number, more in enumerate((int8(task, tmp_path), int8(task, tmp_path), int8(task, tmp_path, batches=2))):
        given = settings(exported, tmp_path / str(number), **more)
        found.append(run_action("gen_trt_engine", given, results_dir=tmp_path / str(number)))
    assert [one["calibration_reused"] for one in found] == [False, True, False]
    assert [one["calibration_images"] for one in found] == [12, 12, 8]
    # Where the ranges come from makes no difference.
    engines = [Path(one["checkpoint"]).read_bytes() for one in found[:2]]
    assert len(engines[0]) == len(engines[1])


def test_too_few_calibration_images_are_told_with_both_numbers(
    exported: dict[str, Any], task: dict[str, Path], tmp_path: Path
) -> None:  # R76
    given = settings(exported, tmp_path, **int8(task, tmp_path, batches=100))
    with pytest.raises(DataError) as raised:
        run_action("gen_trt_engine", given, results_dir=tmp_path)
    assert "30 images" in str(raised.value)
    assert "4 × 100 = 400" in str(raised.value)


def test_file_that_is_no_calibration_is_not_overwritten(
    exported: dict[str, Any], task: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "cal.bin").write_text("TRT-100100-EntropyCalibration2\ninput: 3c010a14\n")
    with pytest.raises(DataError, match="holds no ranges"):
        run_action("gen_trt_engine", settings(exported, tmp_path, **int8(task, tmp_path)), results_dir=tmp_path)


def test_chosen_layers_keep_their_precision_and_unknown_ones_are_refused(
    exported: dict[str, Any], task: dict[str, Path], tmp_path: Path
) -> None:
    key = "gen_trt_engine.tensorrt.layers_precision"
    whole = run_action("gen_trt_engine", settings(exported, tmp_path, **int8(task, tmp_path)), results_dir=tmp_path)
    given = settings(exported, tmp_path / "b", **int8(task, tmp_path), **{key: ["node_Conv*:fp16", "*last*:fp32"]})
    with pytest.raises(SpecError, match=r"layers_precision.*\*last\*:fp32"):
        run_action("gen_trt_engine", given, results_dir=tmp_path / "b")
    given = settings(exported, tmp_path / "c", **int8(task, tmp_path), **{key: ["*Conv*:fp16"]})
    partly = run_action("gen_trt_engine", given, results_dir=tmp_path / "c")
    assert partly["bytes"] > whole["bytes"]
    with pytest.raises(SpecError, match="one of fp32, fp16, bf16"):
        run_action("gen_trt_engine", settings(exported, tmp_path, **{key: ["x:int4"]}), results_dir=tmp_path)


def test_quantised_file_and_existing_engine_are_refused(exported: dict[str, Any], tmp_path: Path) -> None:
    given = settings(exported, tmp_path, **{"gen_trt_engine.onnx_file": exported["int8_file"]})
    with pytest.raises(CheckpointError, match="quantised for CPUs"):
        run_action("gen_trt_engine", given, results_dir=tmp_path)
    (tmp_path / "model.engine").write_bytes(b"mine")
    with pytest.raises(UsageError, match="would overwrite"):
        run_action("gen_trt_engine", settings(exported, tmp_path), results_dir=tmp_path)


@pytest.fixture
def engine(exported: dict[str, Any], tmp_path: Path) -> Path:
    """Return an engine that takes batches of 2 to 4."""
    return Path(run_action("gen_trt_engine", settings(exported, tmp_path), results_dir=tmp_path)["checkpoint"])


def evaluation(engine: Path, task: dict[str, Path], batch_size: int) -> dict[str, Any]:
    return nest(
        {
            "evaluate.trt_engine": str(engine),
            "evaluate.batch_size": batch_size,
            "dataset.val_dataset.reference": str(task["reference"]),
            "dataset.val_dataset.query": str(task["query"]),
            "dataset.workers": 0,
        }
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_way_on_is_told(engine: Path, task: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(NotAvailableError, match="no NVIDIA GPU") as raised:
        run_action("evaluate", evaluation(engine, task, 4), results_dir=tmp_path)
    assert "ONNX file does the same" in raised.value.next_step


def test_without_tensorrt_the_package_is_named(exported: dict[str, Any], tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine may have TensorRT")
    given = settings(exported, tmp_path, **{"gen_trt_engine.tensorrt.library": "tensorrt"})
    with pytest.raises(NotAvailableError, match="tensorrt") as raised:
        run_action("gen_trt_engine", given, results_dir=tmp_path)
    assert "ONNX file does the same" in raised.value.next_step


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_plain_tensorrt_calibrates_nothing(
    exported: dict[str, Any], task: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    given = settings(exported, tmp_path, **int8(task, tmp_path), **{"gen_trt_engine.tensorrt.library": "tensorrt"})
    with pytest.raises(NotAvailableError, match="no NVIDIA GPU"):
        run_action("gen_trt_engine", given, results_dir=tmp_path)
    assert not (tmp_path / "cal.bin").exists()


def test_a_gpu_that_is_not_there_is_refused(
    engine: Path, exported: dict[str, Any], task: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    given = settings(exported, tmp_path / "new", **{"gen_trt_engine.gpu_id": 3})
    with pytest.raises(SpecError, match="GPU 3 is not there") as raised:
        run_action("gen_trt_engine", given, results_dir=tmp_path)
    assert raised.value.problems[0].key == "gen_trt_engine.gpu_id"
    given = evaluation(engine, task, 4)
    given["evaluate"]["gpu_ids"] = [3]
    with pytest.raises(SpecError, match="GPU 3 is not there"):
        run_action("evaluate", given, results_dir=tmp_path)


def test_a_profile_that_a_fixed_batch_overrules_is_told(exported: dict[str, Any], tmp_path: Path) -> None:
    fixed = onnx.load(exported["checkpoint"])
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(fixed, tmp_path / "fixed.onnx")
    given = settings(exported, tmp_path, **{"gen_trt_engine.onnx_file": str(tmp_path / "fixed.onnx")})
    found = run_action("gen_trt_engine", given, results_dir=tmp_path)
    assert found["profile"] == [2, 2, 2]
    (told,) = found["warnings"]
    assert "batches of (2, 4, 4)" in told
    assert "2 images only" in told


class OnnxSession:
    """Stands in for a GPU at the one place that talks to it: runs the ONNX file, within the engine's limits."""

    batches: list[int]

    def __init__(self, onnx_file: str) -> None:
        self.batches = []
        self._session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])

    def run(self, images: Array) -> Array:
        assert 2 <= len(images) <= 4
        self.batches.append(len(images))
        return self._session.run(None, {"input": images})[0]


@pytest.fixture
def session(exported: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> OnnxSession:
    """Put the stand-in in the GPU's place."""
    stand_in = OnnxSession(exported["checkpoint"])
    monkeypatch.setattr(tensorrt_calls, "open_session", lambda *_: stand_in)
    return stand_in


@pytest.mark.parametrize("batch_size", [1, 4, 7])
def test_engine_drops_no_image_and_splits_what_its_profile_lacks(
    engine: Path, session: OnnxSession, task: dict[str, Path], tmp_path: Path, batch_size: int
) -> None:
    found = run_action("evaluate", evaluation(engine, task, batch_size), results_dir=tmp_path / "engine")
    assert set(session.batches) <= {2, 3, 4}
    assert found["num_queries"] == 12
    assert found["engine"] == "tensorrt"
    by_onnx = evaluation(engine, task, batch_size)
    by_onnx["evaluate"] = {"checkpoint": json.loads((tmp_path / "model.engine.json").read_text())["onnx_file"]}
    wanted = run_action("evaluate", by_onnx, results_dir=tmp_path / "onnx")
    assert found["metrics"] == pytest.approx(wanted["metrics"])


def test_an_engine_of_another_version_says_so(
    engine: Path, task: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = engine.with_name("model.engine.json")
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"version": "0.9"}))

    def refuse(*_: Any) -> None:
        raise NotAvailableError("It can't be loaded.", next_step="build it again")

    with monkeypatch.context() as patch:
        patch.setattr(tensorrt_calls, "open_session", refuse)
        with pytest.raises(NotAvailableError, match=r"can't be loaded.*by tensorrt_rtx 0\.9, and this is"):
            run_action("evaluate", evaluation(engine, task, 4), results_dir=tmp_path)
    onnx_file = json.loads(facts.read_text())["onnx_file"]
    monkeypatch.setattr(tensorrt_calls, "open_session", lambda *_: OnnxSession(onnx_file))
    found = run_action("evaluate", evaluation(engine, task, 4), results_dir=tmp_path)
    assert any("tensorrt_rtx 0.9" in warning for warning in found["warnings"])


def test_set_of_ten_images_at_batch_four_gives_ten_results(
    engine: Path, session: OnnxSession, task: dict[str, Path], tmp_path: Path
) -> None:
    for path in sorted(task["query"].rglob("*.png"))[:10]:
        target = tmp_path / "ten" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    given = {
        "inference.trt_engine": str(engine),
        "inference.batch_size": 4,
        "inference.input_path": str(tmp_path / "ten"),
        "dataset.val_dataset.reference": str(task["reference"]),
        "dataset.workers": 0,
    }
    result = run_action("inference", nest(given), results_dir=tmp_path / "engine")
    assert len(Path(result["result_jsonl"]).read_text().splitlines()) == result["num_images"] == 10
    assert session.batches == [4, 4, 2, 4, 2]  # ten images, then six references


def test_int8_that_computes_something_else_builds_no_engine(
    exported: dict[str, Any], task: dict[str, Path], tmp_path: Path
) -> None:
    given = settings(exported, tmp_path, **int8(task, tmp_path), **{f"{CALIBRATION}.min_cosine": 1.0})
    with pytest.raises(JobError, match=r"mean cosine to the FP32 model is 0\.9"):
        run_action("gen_trt_engine", given, results_dir=tmp_path)
    assert not (tmp_path / "model.engine").exists()


def test_engine_and_its_facts_belong_together(
    engine: Path, task: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_calls, "open_session", lambda *_: None)
    engine.write_bytes(engine.read_bytes() + b"x")
    with pytest.raises(CheckpointError, match="don't belong together"):
        run_action("evaluate", evaluation(engine, task, 4), results_dir=tmp_path)
    (tmp_path / "model.engine.json").unlink()
    with pytest.raises(CheckpointError, match=r"model.engine.json can't be read"):
        run_action("evaluate", evaluation(engine, task, 4), results_dir=tmp_path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_engine_on_a_gpu_equals_the_onnx_file(
    engine: Path, exported: dict[str, Any], task: dict[str, Path], tmp_path: Path
) -> None:
    onnx = evaluation(engine, task, 4)
    onnx["evaluate"] = {"checkpoint": exported["checkpoint"]}
    wanted = run_action("evaluate", onnx, results_dir=tmp_path / "onnx")
    found = run_action("evaluate", evaluation(engine, task, 4), results_dir=tmp_path / "engine")
    assert found["metrics"] == pytest.approx(wanted["metrics"], abs=1e-3)
