"""INT8 for CPUs: which layers stay float, and the gate."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from tao_skill.config.deploy import Int8
from tao_skill.errors import JobError
from tao_skill.metric_learning.data.check import CheckedRetrieval
from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.engines.onnx_file import read_onnx
from tao_skill.metric_learning.engines.onnx_runtime import OnnxRuntimeEmbedder
from tao_skill.metric_learning.export.cpu_int8 import Int8Maker, find_int8, load_gate_sets
from tao_skill.metric_learning.export.int8_gate import Gate, Int8Report
from tao_skill.metric_learning.export.quantise import CONTRACTIONS, CPU
from tao_skill.metric_learning.export.samples import filled_batches
from tao_skill.metric_learning.export.sensitivity import rank_by_sensitivity


@pytest.fixture(scope="module")
def model(exported: dict[str, Any]) -> Any:
    """Return the exported FP32 model."""
    return onnx.load(exported["checkpoint"])


@pytest.fixture(scope="module")
def sets(task: dict[str, Path]) -> CheckedRetrieval:
    """Return the images of the gate."""
    return load_gate_sets(Int8(reference=str(task["reference"]), query=str(task["query"])))


@pytest.fixture(scope="module")
def maker(model: Any, sets: CheckedRetrieval) -> Int8Maker:
    """Return what makes INT8 models of it."""
    transform = EvalTransform([0.5, 0.4, 0.3], [0.2, 0.25, 0.3], 48, 32, 3)
    return Int8Maker(model, sets, 6, transform, None)


def losing(*lost: int) -> Callable[[Any], Int8Report]:
    """Return a judge that finds so many queries of 100 lost, one call after the other."""
    counts = iter(lost)

    def judge(_model: Any) -> Int8Report:
        count = next(counts)
        return Int8Report("onnxruntime", 0.9, 0.9 - count / 100, 0.9, 0.99, num_queries=100, lost=count, gained=0)

    return judge


def float_nodes(model: Any) -> list[str]:
    """Return the names of contractions whose weights aren't quantised."""
    made = {name: node.op_type for node in model.graph.node for name in node.output}
    contractions = [node for node in model.graph.node if node.op_type in CONTRACTIONS]
    return [node.name for node in contractions if made.get(node.input[1]) != "DequantizeLinear"]


def test_layers_stay_float_until_the_loss_is_small_enough(maker: Int8Maker) -> None:
    settings = Int8(max_precision_drop=0.005, max_float_layers=16)
    found = list(find_int8(maker, losing(4, 2, 1, 0), settings))
    assert [len(names) for names, _ in found] == [0, 1, 2, 4]
    names, last = found[-1]
    assert names == maker.ranked()[:4]
    assert last.drop == 0
    assert sorted(float_nodes(maker.quantised(names))) == sorted(names)
    assert float_nodes(maker.quantised([])) == []


def test_no_more_layers_stay_float_than_are_allowed(maker: Int8Maker) -> None:
    for most, counts in ((0, [0]), (3, [0, 1, 2, 3])):
        settings = Int8(max_precision_drop=0.005, max_float_layers=most)
        assert [len(names) for names, _ in find_int8(maker, losing(4, 4, 4, 4, 4), settings)] == counts


def test_layer_whose_range_is_wrong_is_the_most_sensitive(model: Any, maker: Int8Maker) -> None:
    chosen = [node for node in model.graph.node if node.op_type == "Conv"][3]
    ranges = maker._ranges | {chosen.input[0]: (-3000.0, 3000.0)}
    images = next(filled_batches(maker._paths, maker._transform, 6)).numpy()
    reads = {node.name for node in model.graph.node if chosen.input[0] in node.input and node.op_type in CONTRACTIONS}
    assert rank_by_sensitivity(model, ranges, CPU, images)[0] in reads


def test_gate_counts_what_is_lost_and_gained(exported: dict[str, Any], sets: CheckedRetrieval) -> None:
    whole, small = (
        OnnxRuntimeEmbedder(read_onnx(exported[key], "model"), "model") for key in ("checkpoint", "int8_file")
    )
    gate = Gate(whole, sets)
    same = gate.judge([whole])
    assert (same.drop, same.lost, same.gained, same.num_queries) == (0, 0, 0, 12)
    assert same.worst_cosine == pytest.approx(1)
    found = gate.judge([small])
    # Of several engines, the one that loses most counts.
    assert gate.judge([whole, small, whole]).drop == max(found.drop, 0)
    assert found.drop == pytest.approx((found.lost - found.gained) / 12)


def test_drop_comes_with_its_standard_error_and_a_loss_is_refused() -> None:
    report = Int8Report("openvino", 0.9, 0.88, 0.9, 0.99, num_queries=400, lost=10, gained=2)
    # Each query's difference is 1, 0 or -1: the standard deviation of their mean.
    values = [1.0] * 10 + [-1.0] * 2 + [0.0] * 388
    mean = sum(values) / 400
    naive = (sum((value - mean) ** 2 for value in values) / 400) ** 0.5 / 400**0.5
    assert report.standard_error == pytest.approx(naive)
    with pytest.raises(JobError, match="10 are lost and 2 gained") as raised:
        report.refuse_above(0.005, Path("/jobs/e/model.onnx"))
    assert "/jobs/e/model.onnx" in raised.value.next_step
    report.refuse_above(0.02, Path("/jobs/e/model.onnx"))


def test_gate_on_few_queries_says_so(task: dict[str, Path]) -> None:
    sets = load_gate_sets(Int8(reference=str(task["reference"]), query=str(task["query"])))
    assert any("One of 12 queries is 0.0833" in warning for warning in sets.warnings)
