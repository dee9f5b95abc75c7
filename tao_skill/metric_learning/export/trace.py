"""Traces a recogniser into an ONNX model that carries all that an engine must know of it."""

import json
import logging
import warnings
from typing import Any

import torch

from tao_skill.errors import InternalError, NotAvailableError, Problem
from tao_skill.metric_learning.engines.extras import import_extra
from tao_skill.metric_learning.engines.facts import ModelFacts
from tao_skill.metric_learning.engines.onnx_file import METADATA_KEY
from tao_skill.metric_learning.export.quiet import silenced
from tao_skill.metric_learning.model.recogniser import Recogniser

__all__ = ["INPUT", "OUTPUT", "describe", "trace"]

log = logging.getLogger(__name__)
INPUT, OUTPUT = "input", "fc_pred"
# A protobuf message, which an ONNX file is, can't be larger.
_LARGEST_BYTES = 2**31 - 1


def trace(recogniser: Recogniser, facts: ModelFacts, *, opset: int, batch: int | None, device: torch.device) -> Any:
    """Return the ONNX model of a recogniser: input (batch, channels, height, width), fc_pred (batch, embed_dim).

    ``batch`` None leaves the batch open.

    Raises:
        NotAvailableError: onnx isn't installed, the model can't be traced, or is too large for a file.
    """
    import_extra("onnxscript", "export")
    _check_size(recogniser)
    size = facts.model
    # A traced size of 1 would be taken for a fixed one.
    example = torch.zeros(batch or 2, size.input_channels, size.input_height, size.input_width, device=device)
    open_batch = ({0: torch.export.Dim("batch", min=1)},) if batch is None else None
    network = recogniser.eval().to(device)
    try:
        # The exporter prints and logs its progress, and warns of matters of its own.
        with silenced(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                opset_version=opset,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=open_batch,
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # of many types, by which layer can't be traced
        reason = str(error).strip().splitlines()[:1]
        raise NotAvailableError(
            f"{size.trunk_name} can't be traced into an ONNX model: {' '.join(reason) or type(error).__name__}",
            problems=[Problem("model.timm_name", size.timm_name, "a trunk that torch.onnx can export")],
            next_step="evaluate and inference work on the checkpoint itself",
        ) from error
    if program is None:
        raise InternalError("torch.onnx.export returned nothing.")
    model = program.model_proto
    _check_opset(model, opset)
    _forget_origins(model)
    describe(model, facts)
    return model


def describe(model: Any, facts: ModelFacts) -> None:
    """Write the facts into a model's metadata, in place of older ones."""
    kept = [entry for entry in model.metadata_props if entry.key != METADATA_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=METADATA_KEY, value=json.dumps(facts.document(), sort_keys=True))


def _check_size(recogniser: Recogniser) -> None:
    size = sum(tensor.numel() * tensor.element_size() for tensor in recogniser.state_dict().values())
    if size >= _LARGEST_BYTES:
        raise NotAvailableError(
            f"The model has {size / 1e9:.1f} GB of weights, but an ONNX file holds at most {_LARGEST_BYTES / 1e9:.1f}.",
            problems=[Problem("model.timm_name", "", "a smaller trunk")],
        )


def _check_opset(model: Any, wanted: int) -> None:
    """Refuse a file of another opset than the one that was asked for: the exporter substitutes in silence."""
    got = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if got != wanted:
        raise NotAvailableError(
            f"torch {torch.__version__} wrote opset {got} instead of {wanted}.",
            problems=[Problem("export.opset_version", wanted, f"{got}, or another from 18 to 23")],
        )


def _forget_origins(model: Any) -> None:
    """Take out where in which source file each node was traced: it tells of this machine and serves no engine."""
    graph = model.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, *model.functions):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.metadata_props[:]
