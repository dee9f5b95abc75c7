"""Embeds with a TensorRT engine on a GPU."""

import logging

import torch
from torch import Tensor

from tao_skill.errors import NotAvailableError
from tao_skill.metric_learning.engines import tensorrt_calls
from tao_skill.metric_learning.engines.batches import run_in_batches
from tao_skill.metric_learning.engines.engine_file import EngineFile

__all__ = ["TensorRTEmbedder"]

log = logging.getLogger(__name__)


class TensorRTEmbedder:
    """An engine, which takes any number of images: what its profile doesn't hold is split or filled up.

    ``warnings`` say where the engine was built otherwise than it runs.
    """

    engine = "tensorrt"

    def __init__(self, file: EngineFile, gpu_id: int, key: str) -> None:
        """Bring the engine to the GPU.

        Raises:
            CheckpointError: the file isn't what was built.
            NotAvailableError: no TensorRT or no GPU, or another than the engine was built for.
        """
        library = tensorrt_calls.find_library(file.library)
        self.warnings = file.differences(library.version, tensorrt_calls.gpu_of(gpu_id))
        for warning in self.warnings:
            log.warning("%s", warning)
        try:
            self._session = tensorrt_calls.open_session(library, file.plan(key), gpu_id)
        except NotAvailableError as error:
            told = " ".join([error.message, *self.warnings])
            raise NotAvailableError(told, problems=error.problems, next_step=error.next_step) from error
        self._file = file
        self.facts = file.facts
        self.transform = file.facts.transform()

    @property
    def embed_dim(self) -> int:
        """Return the length of an embedding."""
        return self.facts.model.feat_dim

    def embed(self, images: Tensor) -> Tensor:
        """Map float32 images (batch, channels, height, width) to float32 embeddings (batch, embed_dim)."""
        limits = self._file.smallest, self._file.largest
        return torch.from_numpy(run_in_batches(images.contiguous().numpy(), self._session.run, *limits))
