"""INT8 by static quantisation: value ranges measured on real images become Q/DQ nodes in the ONNX model.

CPUs want unsigned activations and a scale for each output channel of the weights; TensorRT takes symmetric signed
numbers only, and biases that stay float. So each kind of engine gets a model of its own.
"""

import copy
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tao_skill.metric_learning.engines.batches import Array
from tao_skill.metric_learning.engines.extras import import_extra
from tao_skill.metric_learning.export.quiet import silenced

__all__ = ["CONTRACTIONS", "CPU", "TENSORRT", "Ranges", "Scheme", "measure_ranges", "quantise"]

# The smallest and the largest value of each tensor, by its name.
Ranges = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Scheme:
    """How numbers become integers, and of which operators."""

    signed_activations: bool
    operators: tuple[str, ...]
    options: Mapping[str, Any]


# Where the time goes, and what integers are for.
CONTRACTIONS = ("Conv", "Gemm", "MatMul")
# What follows a contraction may narrow its range much (Clip) or not (Add): the narrow one alone must become integers.
_WIDE_OUTPUTS_STAY = {"OpTypesToExcludeOutputQuantization": list(CONTRACTIONS)}
CPU = Scheme(
    signed_activations=False,
    operators=(*CONTRACTIONS, "Add", "AveragePool", "GlobalAveragePool", "MaxPool", "Concat", "Relu", "Clip"),
    options=_WIDE_OUTPUTS_STAY,
)
TENSORRT = Scheme(
    signed_activations=True,
    operators=CONTRACTIONS,
    options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False, **_WIDE_OUTPUTS_STAY},
)


def measure_ranges(model: Any, batches: Iterable[Array], scheme: Scheme) -> Ranges:
    """Return the range of every tensor that the scheme quantises, over all batches of images."""
    quantization = import_extra("onnxruntime.quantization", "INT8")
    with tempfile.TemporaryDirectory(prefix="tao_skill_int8_") as folder, silenced():
        path = Path(folder) / "model.onnx"
        import_extra("onnx", "INT8").save(_with_shapes(model), path)
        calibrator = quantization.create_calibrator(
            path,
            list(scheme.operators),
            str(Path(folder) / "augmented.onnx"),
            calibrate_method=quantization.CalibrationMethod.MinMax,
            extra_options={"symmetric": scheme.signed_activations},
        )
        source = model.graph.input[0].name
        for batch in batches:
            # One batch at a time: the calibrator keeps all outputs of a call in memory.
            calibrator.collect_data(_OneBatch({source: batch}))
        found = calibrator.compute_data()
    return {name: (data.range_value[0].item(), data.range_value[1].item()) for name, data in found.items()}


def quantise(model: Any, ranges: Ranges, scheme: Scheme, exclude: Collection[str] = ()) -> Any:
    """Return the model with Q/DQ nodes; ``exclude`` names nodes that stay as they are."""
    quantization = import_extra("onnxruntime.quantization", "INT8")
    calibrate = import_extra("onnxruntime.quantization.calibrate", "INT8")
    qdq = import_extra("onnxruntime.quantization.qdq_quantizer", "INT8")
    numpy = import_extra("numpy", "INT8")
    kinds = quantization.QuantType
    data = calibrate.TensorsData(
        quantization.CalibrationMethod.MinMax,
        {name: tuple(numpy.array(value, dtype=numpy.float32) for value in pair) for name, pair in ranges.items()},
    )
    with silenced():
        quantizer = qdq.QDQQuantizer(
            _with_shapes(model),
            True,  # a scale for each output channel
            False,
            kinds.QInt8,
            kinds.QInt8 if scheme.signed_activations else kinds.QUInt8,
            data,
            [],
            list(exclude),
            list(scheme.operators),
            dict(scheme.options),
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    return quantizer.model.model


def _with_shapes(model: Any) -> Any:
    onnx = import_extra("onnx", "INT8")
    return onnx.shape_inference.infer_shapes(copy.deepcopy(model))


class _OneBatch:
    """The calibrator's source of data: one batch, then nothing."""

    def __init__(self, batch: dict[str, Array]) -> None:
        self._batch: dict[str, Array] | None = batch

    def get_next(self) -> dict[str, Array] | None:
        """Return the batch the first time, then None."""
        batch, self._batch = self._batch, None
        return batch
