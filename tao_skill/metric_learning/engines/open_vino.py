"""Embeds with OpenVINO on the CPU."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from tao_skill.errors import CheckpointError, Problem
from tao_skill.metric_learning.engines.batches import Array, run_in_batches
from tao_skill.metric_learning.engines.extras import import_extra
from tao_skill.metric_learning.engines.onnx_file import OnnxFile

__all__ = ["OpenVinoEmbedder"]

_TYPES = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoEmbedder:
    """An ONNX file in OpenVINO, which computes float layers in the precision that was asked for."""

    engine = "openvino"

    def __init__(self, file: OnnxFile, precision: Literal["fp32", "bf16"], key: str) -> None:
        """Compile the file for this processor.

        Raises:
            NotAvailableError: OpenVINO isn't installed.
            CheckpointError: OpenVINO refuses the file.
        """
        openvino = import_extra("openvino", "engine = openvino")
        settings = {"INFERENCE_PRECISION_HINT": _TYPES[precision], "PERFORMANCE_HINT": "LATENCY"}
        try:
            compiled = openvino.Core().compile_model(str(file.path), "CPU", settings)
        except RuntimeError as error:
            problem = Problem(key, str(file.path), "an ONNX file that OpenVINO can compile")
            raise CheckpointError(f"OpenVINO refuses {file.path}: {error}", problems=[problem]) from error
        self._request = compiled.create_infer_request()
        self._file = file
        self.facts = file.facts
        self.transform = file.facts.transform()

    @property
    def embed_dim(self) -> int:
        """Return the length of an embedding."""
        return self.facts.model.feat_dim

    def embed(self, images: Tensor) -> Tensor:
        """Map float32 images (batch, channels, height, width) to float32 embeddings (batch, embed_dim)."""
        fixed = self._file.batch
        return torch.from_numpy(run_in_batches(images.contiguous().numpy(), self._run, fixed or 1, fixed))

    def _run(self, images: Array) -> Array:
        (embeddings,) = self._request.infer([images]).values()
        # The request keeps its output's memory for the next batch.
        return np.array(embeddings, dtype=np.float32)
