"""The protocol of everything that embeds images."""

from typing import Protocol

from torch import Tensor

from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.engines.facts import ModelFacts

__all__ = ["Embedder", "Embeds"]


class Embeds(Protocol):
    """Embeds batches of images that went through its transform."""

    @property
    def transform(self) -> EvalTransform:
        """Return the preprocessing of a decoded image."""

    def embed(self, images: Tensor) -> Tensor:
        """Map float32 images (batch, channels, height, width) to float32 embeddings (batch, embed_dim) on the CPU.

        Embeddings are not of unit length. Batches of any size are taken.
        """


class Embedder(Embeds, Protocol):
    """A model that is ready to embed: a torch checkpoint, an ONNX file or an engine.

    ``engine`` names what computes, ``facts.fingerprint`` the model: embeddings of two embedders may be compared if
    their fingerprints are equal.
    """

    engine: str
    facts: ModelFacts

    @property
    def embed_dim(self) -> int:
        """Return the length of an embedding."""
