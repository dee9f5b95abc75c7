"""Gives each node of an ONNX model the number format in which it computes, with casts where formats meet."""

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from tao_skill.metric_learning.engines.extras import import_extra

__all__ = ["FLOAT_TYPES", "set_node_precision"]

FLOAT_TYPES = ("FP32", "FP16", "BF16")
_NUMPY: Mapping[str, Any] = {"FP32": np.float32, "FP16": np.float16, "BF16": ml_dtypes.bfloat16}
_ONNX = {"FP32": "FLOAT", "FP16": "FLOAT16", "BF16": "BFLOAT16"}
# Their float inputs besides the first are scales and sizes, which the standard wants in FP32.
_FLOAT32_BESIDE_THE_FIRST = frozenset({"Resize", "Upsample"})
# Scales of quantised tensors are FP32 in opset 18, and so is what comes out.
_ALWAYS_FP32 = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})


def set_node_precision(model: Any, default: str, chosen: Mapping[str, str]) -> Any:
    """Return a copy of a model whose nodes compute in ``default``, or as ``chosen`` says by node name.

    Formats are FP32, FP16 and BF16. Input and output of the model stay FP32. Values beyond FP16's range become its
    largest.
    """
    return _Rewriter(model, default, chosen).rewritten()


class _Rewriter:
    """Rewrites a graph node by node, in order, so that what a node reads has been rewritten before."""

    def __init__(self, model: Any, default: str, chosen: Mapping[str, str]) -> None:
        self._onnx = import_extra("onnx", "Another precision")
        self._model = self._onnx.shape_inference.infer_shapes(model)
        self._default, self._chosen = default, chosen
        graph = self._model.graph
        float32 = self._onnx.TensorProto.FLOAT
        typed = (*graph.input, *graph.output, *graph.value_info)
        self._floats = {value.name for value in typed if value.type.tensor_type.elem_type == float32}
        self._weights = {entry.name: entry for entry in graph.initializer if entry.data_type == float32}
        # The format in which each float tensor is there, and the same tensors in other formats.
        self._format = dict.fromkeys([value.name for value in graph.input], "FP32")
        self._copies: dict[tuple[str, str], str] = {}
        self._nodes: list[Any] = []
        self._new_weights: list[Any] = []

    def rewritten(self) -> Any:
        """Return the new model."""
        graph = self._model.graph
        for node in graph.node:
            self._rewrite(node)
        self._end_in_fp32()
        kept = [entry for entry in graph.initializer if entry.name not in self._weights]
        used = {name for node in self._nodes for name in node.input}
        for field, entries in (
            ("node", self._nodes),
            (
                "initializer",
                [entry for entry in (*kept, *self._weights.values(), *self._new_weights) if entry.name in used],
            ),
            ("value_info", []),
        ):
            del getattr(graph, field)[:]
            getattr(graph, field).extend(entries)
        return self._model

    def _rewrite(self, node: Any) -> None:
        wanted = "FP32" if node.op_type in _ALWAYS_FP32 else self._chosen.get(node.name, self._default)
        for position, name in enumerate(node.input):
            beside = position > 0 and node.op_type in _FLOAT32_BESIDE_THE_FIRST
            node.input[position] = self._in_format(name, "FP32" if beside else wanted)
        self._set_attributes(node, wanted)
        self._nodes.append(node)
        self._format |= {name: wanted for name in node.output if name in self._floats}

    def _in_format(self, name: str, wanted: str) -> str:
        """Return the name of a tensor in a format, made now if it isn't there; other types than floats stay."""
        if name in self._weights:
            return name if wanted == "FP32" else self._converted_weight(name, wanted)
        if self._format.get(name, wanted) == wanted:
            return name
        if (name, wanted) not in self._copies:
            copy = f"{name}_{wanted.lower()}"
            self._cast(name, copy, wanted)
            self._copies[name, wanted] = copy
        return self._copies[name, wanted]

    def _converted_weight(self, name: str, wanted: str) -> str:
        if (name, wanted) not in self._copies:
            values = self._onnx.numpy_helper.to_array(self._weights[name])
            copy = f"{name}_{wanted.lower()}"
            self._new_weights.append(self._tensor(values, copy, wanted))
            self._copies[name, wanted] = copy
        return self._copies[name, wanted]

    def _tensor(self, values: Any, name: str, wanted: str) -> Any:
        if wanted == "FP16":
            limit = np.finfo(np.float16).max
            values = np.clip(values, -limit, limit)
        return self._onnx.numpy_helper.from_array(np.asarray(values).astype(_NUMPY[wanted]), name)

    def _cast(self, name: str, result: str, wanted: str) -> None:
        to = getattr(self._onnx.TensorProto, _ONNX[wanted])
        self._nodes.append(self._onnx.helper.make_node("Cast", [name], [result], name=f"cast_{result}", to=to))

    def _set_attributes(self, node: Any, wanted: str) -> None:
        """Let nodes that name a float type, or hold float values, make the wanted one."""
        float32 = self._onnx.TensorProto.FLOAT
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype") and attribute.i == float32:
                attribute.i = getattr(self._onnx.TensorProto, _ONNX[wanted])
            elif attribute.name == "value" and attribute.t.data_type == float32:
                values = self._onnx.numpy_helper.to_array(attribute.t)
                attribute.t.CopyFrom(self._tensor(values, attribute.t.name, wanted))

    def _end_in_fp32(self) -> None:
        for output in self._model.graph.output:
            made = self._format.get(output.name, "FP32")
            if made == "FP32":
                continue
            inner = f"{output.name}_{made.lower()}"
            for node in self._nodes:
                for names in (node.input, node.output):
                    for position, name in enumerate(names):
                        if name == output.name:
                            names[position] = inner
            self._cast(inner, output.name, "FP32")
