"""Export: the file that was asked for, with all that it needs, equal to its checkpoint."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from tao_skill.config.keys import nest
from tao_skill.errors import JobError, SpecError, UsageError
from tao_skill.metric_learning.actions import run_action
from tao_skill.metric_learning.export import action as export_action


def evaluation(task: dict[str, Path], model: str | Path, **more: Any) -> dict[str, Any]:
    return {
        "evaluate.checkpoint": str(model),
        "dataset.val_dataset.reference": str(task["reference"]),
        "dataset.val_dataset.query": str(task["query"]),
        "dataset.workers": 0,
        **more,
    }


def test_file_has_the_opset_the_shapes_and_the_metadata(exported: dict[str, Any]) -> None:  # R62
    model = onnx.load(exported["checkpoint"])
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [18]
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert shape[0].dim_param
    assert [size.dim_value for size in shape[1:]] == [3, 32, 48]
    facts = json.loads({entry.key: entry.value for entry in model.metadata_props}["tao_skill"])
    assert facts["model"]["input_width"] == 48
    assert facts["transform"]["pixel_mean"] == [0.5, 0.4, 0.3]
    assert (facts["transform"]["resize_width"], facts["transform"]["resize_height"]) == (55, 36)
    assert facts["recognition"] == {"class_names": ["class_0", "class_1"], "rejection_threshold": 0.5}
    assert facts["fingerprint"] == exported["fingerprint"]


def test_file_tells_nothing_of_the_machine(exported: dict[str, Any]) -> None:
    content = Path(exported["checkpoint"]).read_bytes()
    assert b"site-packages" not in content
    assert str(Path.home()).encode() not in content


def test_embeddings_equal_the_checkpoint_at_three_batch_sizes(exported: dict[str, Any]) -> None:
    report = exported["report"]
    assert [one["batch"] for one in report["parity"]] == [1, 3, 16]
    assert all(one["worst_cosine"] > 0.99999 for one in report["parity"])
    assert exported["metrics"]["largest relative difference"] < 1e-4


def test_int8_file_is_smaller_and_measured(exported: dict[str, Any]) -> None:
    report = exported["report"]
    assert report["int8_bytes"] < 0.5 * report["bytes"]
    assert report["int8"]["mean_cosine"] > 0.9
    assert report["int8"]["num_queries"] == 12
    kinds = {node.op_type for node in onnx.load(report["int8_file"]).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds


@pytest.fixture
def traced(exported: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let an export take the model that another one traced, which takes longer than all the rest; return it."""
    model = onnx.load(exported["checkpoint"])
    monkeypatch.setattr(export_action, "trace", lambda *_, **__: model)
    return model


@pytest.mark.usefixtures("traced")
def test_existing_file_is_kept_unless_force_says_otherwise(checkpoint: Path, tmp_path: Path) -> None:
    target = tmp_path / "there.onnx"
    target.write_text("mine")
    given = {"export.checkpoint": str(checkpoint), "export.onnx_file": str(target)}
    with pytest.raises(UsageError, match="would overwrite") as raised:
        run_action("export", nest(given), results_dir=tmp_path)
    assert "export.force=true" in str(raised.value)
    assert target.read_text() == "mine"
    run_action("export", nest(given | {"export.force": True}), results_dir=tmp_path)
    assert onnx.load(target).graph.node


def test_fixed_batch_is_in_the_file_and_serves_any_number_of_images(
    checkpoint: Path, task: dict[str, Path], tmp_path: Path
) -> None:
    given = {"export.checkpoint": str(checkpoint), "export.batch_size": 5, "export.opset_version": 20}
    result = run_action("export", nest(given), results_dir=tmp_path)
    model = onnx.load(result["checkpoint"])
    assert model.opset_import[0].version == 20
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 5
    fixed = run_action("evaluate", nest(evaluation(task, result["checkpoint"])), results_dir=tmp_path)
    torch = run_action("evaluate", nest(evaluation(task, checkpoint)), results_dir=tmp_path)
    assert fixed["metrics"] == pytest.approx(torch["metrics"])


def test_export_that_computes_something_else_fails_and_leaves_no_file(
    traced: Any, checkpoint: Path, tmp_path: Path
) -> None:
    name = next(node for node in traced.graph.node if node.op_type == "Gemm").input[1]
    weight = next(entry for entry in traced.graph.initializer if entry.name == name)
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) + 1, name))
    with pytest.raises(JobError, match="not those of the checkpoint"):
        run_action("export", nest({"export.checkpoint": str(checkpoint)}), results_dir=tmp_path)
    assert list(tmp_path.rglob("*.onnx")) == []
    assert json.loads((tmp_path / "export" / "export.json").read_text())["parity"]


def test_unknown_opset_is_refused_before_the_export(checkpoint: Path, tmp_path: Path) -> None:
    given = {"export.checkpoint": str(checkpoint), "export.opset_version": 17, "export.int8.enabled": True}
    with pytest.raises(SpecError) as raised:
        run_action("export", nest(given), results_dir=tmp_path)
    told = {problem.key: problem.expected for problem in raised.value.problems}
    assert set(told) == {"export.opset_version", "export.int8.reference", "export.int8.query"}
    assert "at least 18 and at most 23" in told["export.opset_version"]


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "auto"])
def test_evaluation_on_the_file_equals_that_on_the_checkpoint(
    exported: dict[str, Any], checkpoint: Path, task: dict[str, Path], tmp_path: Path, engine: str
) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    wanted = run_action("evaluate", nest(evaluation(task, checkpoint)), results_dir=tmp_path / "torch")
    given = evaluation(task, exported["checkpoint"], **{"evaluate.engine": engine})
    found = run_action("evaluate", nest(given), results_dir=tmp_path / engine)
    assert found["metrics"] == pytest.approx(wanted["metrics"])
    assert found["fingerprint"] == wanted["fingerprint"]
    assert wanted["engine"] == "torch"
    assert found["engine"] == engine or engine == "auto"


def test_inference_on_ten_images_gives_ten_results_on_every_engine(
    exported: dict[str, Any], checkpoint: Path, task: dict[str, Path], tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    found = {}
    for engine, model in {
        "torch": checkpoint,
        "onnxruntime": exported["checkpoint"],
        "openvino": exported["int8_file"],
    }.items():
        given = {
            "inference.checkpoint": str(model),
            "inference.engine": engine,
            "inference.batch_size": 4,
            "inference.input_path": str(ten_images(task, tmp_path)),
            "dataset.val_dataset.reference": str(task["reference"]),
            "dataset.workers": 0,
        }
        result = run_action("inference", nest(given), results_dir=tmp_path / engine)
        lines = Path(result["result_jsonl"]).read_text().splitlines()
        assert len(lines) == 10
        found[engine] = [json.loads(line)["matches"][0]["label"] for line in lines]
    assert found["torch"] == found["onnxruntime"]


def ten_images(task: dict[str, Path], folder: Path) -> Path:
    """Return a folder of the first ten query images, in class folders."""
    root = folder / "ten"
    if not root.exists():
        for path in sorted(task["query"].rglob("*.png"))[:10]:
            target = root / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return root
