"""Number formats of single nodes."""

import copy
from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tao_skill.metric_learning.export.node_precision import set_node_precision


@pytest.fixture
def model() -> Any:
    """Return a small network whose first node's weights exceed what FP16 holds, with a resize and a constant."""
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.normal(size=(8, 3, 3, 3)),
        "scales": np.array([1, 1, 0.5, 0.5]),
        "w2": rng.normal(size=(16, 4)),
        "large": np.array([1e6]),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Resize", ["a", "", "scales"], ["b"], name="smaller"),
        helper.make_node("Constant", [], ["half"], name="half", value=numpy_helper.from_array(np.float32(0.5))),
        helper.make_node("Mul", ["b", "half"], ["c"], name="times"),
        helper.make_node("ReduceMean", ["c"], ["d"], name="pool", axes=[2], keepdims=0),
        helper.make_node("Flatten", ["d"], ["e"], name="flat"),
        helper.make_node("MatMul", ["e", "w2"], ["f"], name="last"),
        helper.make_node("Min", ["f", "large"], ["y"], name="limit"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: Any) -> np.ndarray:
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 4)).astype(np.float32)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]


def test_all_fp16_computes_nearly_the_same_and_keeps_the_interface(model: Any) -> None:
    half = set_node_precision(copy.deepcopy(model), "FP16", {})
    onnx.checker.check_model(half, full_check=True)
    types = Counter(entry.data_type for entry in half.graph.initializer)
    assert types == {TensorProto.FLOAT16: 3, TensorProto.FLOAT: 1}  # the resize's scales
    assert half.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    wanted = run(model)
    assert np.abs(run(half) - wanted).max() < 0.01 * np.abs(wanted).max()


def test_chosen_nodes_stay_as_they_are(model: Any) -> None:
    mixed = set_node_precision(copy.deepcopy(model), "FP16", {"first": "FP32", "last": "FP32"})
    onnx.checker.check_model(mixed, full_check=True)
    kept = {entry.name: entry.data_type for entry in mixed.graph.initializer}
    assert kept["w1"] == kept["w2"] == TensorProto.FLOAT
    assert run(mixed) == pytest.approx(run(model), rel=2e-2, abs=2e-2)


def test_fp32_changes_nothing(model: Any) -> None:
    same = set_node_precision(copy.deepcopy(model), "FP32", {})
    assert [node.op_type for node in same.graph.node] == [node.op_type for node in model.graph.node]
    assert np.array_equal(run(same), run(model))


def test_bf16_halves_the_weights(model: Any) -> None:
    small = set_node_precision(copy.deepcopy(model), "BF16", {})
    onnx.checker.check_model(small)
    assert {entry.name for entry in small.graph.initializer} == {"w1_bf16", "scales", "w2_bf16", "large_bf16"}
