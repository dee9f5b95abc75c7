"""Embeds with ONNX Runtime on the CPU."""

import numpy as np
import torch
from torch import Tensor

from tao_skill.errors import CheckpointError, Problem
from tao_skill.metric_learning.engines.batches import Array, run_in_batches
from tao_skill.metric_learning.engines.extras import import_extra
from tao_skill.metric_learning.engines.onnx_file import OnnxFile

__all__ = ["OnnxRuntimeEmbedder"]


class OnnxRuntimeEmbedder:
    """An ONNX file in ONNX Runtime."""

    engine = "onnxruntime"

    def __init__(self, file: OnnxFile, key: str) -> None:
        """Load the file.

        Raises:
            NotAvailableError: ONNX Runtime isn't installed.
            CheckpointError: ONNX Runtime refuses the file.
        """
        runtime = import_extra("onnxruntime", "engine = onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors only: its warnings go to stderr past all logging
        try:
            self._session = runtime.InferenceSession(str(file.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common type
            problem = Problem(key, str(file.path), "an ONNX file that ONNX Runtime can load")
            raise CheckpointError(f"ONNX Runtime refuses {file.path}: {error}", problems=[problem]) from error
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
        found = run_in_batches(images.contiguous().numpy(), self._run, fixed or 1, fixed)
        return torch.from_numpy(found)

    def _run(self, images: Array) -> Array:
        (embeddings,) = self._session.run([self._file.output_name], {self._file.input_name: images})
        return np.asarray(embeddings, dtype=np.float32)
