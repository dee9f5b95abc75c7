"""Defects of TAO's export and deploy, numbered as in the record of its behaviour: tests that they aren't here."""

import csv
import importlib
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import pytest

from tao_skill.config.keys import nest
from tao_skill.errors import NotAvailableError
from tao_skill.metric_learning.actions import run_action
from tao_skill.metric_learning.engines import tensorrt_calls
from tao_skill.metric_learning.engines.tensorrt_calls import BuildSettings, build_plan, find_library
from tao_skill.metric_learning.export import action as export_action

CALIBRATION = "gen_trt_engine.tensorrt.calibration"
rtx = pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT for RTX is not installed")


@pytest.fixture
def engine(exported: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an engine for batches of 1 to 4, which computes with the ONNX file where a GPU would."""
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(exported["checkpoint"], providers=["CPUExecutionProvider"])

    class Device:
        def run(self, images: Any) -> Any:
            assert 1 <= len(images) <= 4
            return session.run(None, {"input": images})[0]

    monkeypatch.setattr(tensorrt_calls, "open_session", lambda *_: Device())
    return Path(build(exported, tmp_path, **{"gen_trt_engine.tensorrt.max_batch_size": 4})["checkpoint"])


def build(exported: dict[str, Any], folder: Path, **more: Any) -> dict[str, Any]:
    given = {
        "gen_trt_engine.onnx_file": exported["checkpoint"],
        "gen_trt_engine.trt_engine": str(folder / "model.engine"),
        "gen_trt_engine.tensorrt.library": "tensorrt_rtx",
    }
    return run_action("gen_trt_engine", nest(given | more), results_dir=folder)


def evaluate(engine: Path, reference: Path, query: Path, folder: Path, **more: Any) -> dict[str, Any]:
    given = {
        "evaluate.trt_engine": str(engine),
        "dataset.val_dataset.reference": str(reference),
        "dataset.val_dataset.query": str(query),
        "dataset.workers": 0,
    }
    return run_action("evaluate", nest(given | more), results_dir=folder)


def test_8_10_export_and_engine_agree_on_width_and_height(exported: dict[str, Any], engine: Path) -> None:
    """There the export swaps them, and the engine does not."""
    size = onnx.load(exported["checkpoint"]).graph.input[0].type.tensor_type.shape.dim
    assert [one.dim_value for one in size[1:]] == [3, 32, 48]  # height, then width
    facts = json.loads(engine.with_name("model.engine.json").read_text())
    assert (facts["model"]["input_height"], facts["model"]["input_width"]) == (32, 48)


def test_8_13_export_overwrites_where_it_is_told_to(
    exported: dict[str, Any], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There it never does: a bare assertion."""
    monkeypatch.setattr(export_action, "trace", lambda *_, **__: onnx.load(exported["checkpoint"]))
    target = tmp_path / "there.onnx"
    target.write_bytes(b"old")
    given = {"export.checkpoint": str(checkpoint), "export.onnx_file": str(target), "export.force": True}
    assert run_action("export", nest(given), results_dir=tmp_path)["checkpoint"] == str(target)
    assert onnx.load(target).graph.node


def test_8_16_no_image_is_lost_at_the_end_of_a_set(engine: Path, task: dict[str, Path], tmp_path: Path) -> None:
    """There the rest of a division by the batch size is dropped, and a set smaller than a batch ends in an assert."""
    found = evaluate(engine, task["reference"], task["query"], tmp_path, **{"evaluate.batch_size": 5})
    assert (found["num_references"], found["num_queries"]) == (6, 12)
    whole = evaluate(engine, task["reference"], task["query"], tmp_path, **{"evaluate.batch_size": 100})
    assert whole["metrics"] == pytest.approx(found["metrics"])


def test_8_17_classes_without_queries_shift_no_name_and_give_no_nan(
    engine: Path, task: dict[str, Path], tmp_path: Path
) -> None:
    """There per-class results take ids for positions, so that a class without queries, or a stray file, shifts them."""
    query, reference = tmp_path / "query", tmp_path / "reference"
    shutil.copytree(task["reference"], query)  # each query is its own reference: all answers are right
    shutil.copytree(task["reference"], reference)
    shutil.rmtree(query / "class_2")
    (reference / "a_stray_file.txt").write_text("no class")
    settings = {"evaluate.report_accuracy_per_class": True}
    found = evaluate(engine, reference, query, tmp_path, **settings)
    assert found["metrics"]["test Precision at Rank 1"] == 1.0
    with (tmp_path / "evaluate" / "per_class.csv").open(newline="") as file:
        told = {row["class"]: (row["num_queries"], row["precision_at_1"]) for row in csv.DictReader(file)}
    assert told.pop("class_2", ("0", "")) == ("0", "")
    assert {name: float(value) for name, (_, value) in told.items()} == dict.fromkeys(
        ("class_0", "class_1", "class_3", "class_4", "class_5"), 1.0
    )


class OldNames(ModuleType):
    """Stands before a TensorRT and tells when a name is asked for that TensorRT 11 has no more."""

    def __init__(self, module: Any) -> None:
        super().__init__("tensorrt_rtx")
        self.asked: list[str] = []
        self._module = module

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self._module, name)


@rtx
def test_8_18_nothing_is_used_that_tensorrt_11_has_removed(
    exported: dict[str, Any], task: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There a class of the removed INT8 calibrators is named at import, so that even FP32 can't be built."""
    watched = OldNames(importlib.import_module("tensorrt_rtx"))
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", watched)
    settings = {
        "gen_trt_engine.tensorrt.data_type": "INT8",
        f"{CALIBRATION}.cal_image_dir": [str(task["train"])],
        f"{CALIBRATION}.cal_cache_file": str(tmp_path / "cal.bin"),
        f"{CALIBRATION}.cal_batch_size": 4,
    }
    assert build(exported, tmp_path, **settings)["precision"] == "INT8"
    assert "Builder" in watched.asked
    assert not [name for name in watched.asked if "Calibrat" in name or name.startswith("platform_has")]
    source = Path(str(tensorrt_calls.__file__)).read_text()
    for removed in ("IInt8", "int8_calibrator", "BuilderFlag.FP16", "BuilderFlag.INT8", "EXPLICIT_BATCH"):
        assert removed not in source


@rtx
def test_8_19_a_workspace_below_a_gigabyte_is_not_zero(
    exported: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There 512 MB are divided by 1024 and make 0 GB."""
    library = find_library("tensorrt_rtx")
    limits: list[int] = []
    config = library.module.IBuilderConfig
    original = config.set_memory_pool_limit

    def noted(self: Any, pool: Any, size: int) -> None:
        limits.append(size)
        original(self, pool, size)

    monkeypatch.setattr(config, "set_memory_pool_limit", noted)
    build_plan(library, Path(exported["checkpoint"]).read_bytes(), BuildSettings("input", (3, 32, 48), (1, 1, 1), 512))
    assert limits == [512 * 2**20]


def test_8_19_a_calibration_of_other_images_is_not_used_again(
    exported: dict[str, Any], task: dict[str, Path], tmp_path: Path
) -> None:
    """There a cache is taken as it is, whatever it was made from."""
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    reused = []
    for number, name in enumerate(("train", "train", "query")):
        settings = {
            "gen_trt_engine.tensorrt.data_type": "INT8",
            f"{CALIBRATION}.cal_image_dir": [str(task[name])],
            f"{CALIBRATION}.cal_cache_file": str(tmp_path / "cal.bin"),
            f"{CALIBRATION}.cal_batch_size": 4,
        }
        reused.append(build(exported, tmp_path / str(number), **settings)["calibration_reused"])
    assert reused == [False, True, False]


def test_8_19_another_precision_is_never_taken_in_silence(exported: dict[str, Any], tmp_path: Path) -> None:
    """There INT8 or FP16 that the platform lacks becomes FP32 with a warning."""
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    sizes = {}
    for precision in ("FP32", "FP16"):
        folder = tmp_path / precision
        sizes[precision] = build(exported, folder, **{"gen_trt_engine.tensorrt.data_type": precision})["bytes"]
        assert json.loads((folder / "model.engine.json").read_text())["precision"] == precision
    assert sizes["FP16"] < 0.7 * sizes["FP32"]


def test_8_19_an_engine_is_measured_as_a_checkpoint_is(
    engine: Path, checkpoint: Path, task: dict[str, Path], tmp_path: Path
) -> None:
    """There engines are told without mAP, MRR and r-precision, so that they can't be compared."""
    found = evaluate(engine, task["reference"], task["query"], tmp_path / "engine")
    by_torch = {"evaluate.trt_engine": "", "evaluate.checkpoint": str(checkpoint)}
    wanted = evaluate(engine, task["reference"], task["query"], tmp_path / "torch", **by_torch)
    assert set(found["metrics"]) == set(wanted["metrics"])
    assert {"test Mean Average Precision", "test Mean Reciprocal Rank", "test r-Precision"} <= set(found["metrics"])
    assert found["metrics"] == pytest.approx(wanted["metrics"], abs=1e-5)


@rtx
def test_missing_tensorrt_is_no_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(NotAvailableError, match="tensorrt is not installed"):
        find_library("tensorrt")
