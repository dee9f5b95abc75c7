"""Compares an exported model's embeddings with those of the model it was made from."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from tao_skill.errors import JobError, Problem
from tao_skill.metric_learning.engines.embedder import Embeds

__all__ = ["BATCHES", "LARGEST_DIFFERENCE", "LEAST_COSINE", "Parity", "check_parity", "compare", "refuse_difference"]

BATCHES = (1, 3, 16)
LEAST_COSINE = 0.9999
# As a share of the largest value among the embeddings.
LARGEST_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class Parity:
    """How near two models' embeddings of one batch are: cosines near 1, differences near 0."""

    batch: int
    worst_cosine: float
    mean_cosine: float
    max_difference: float
    max_relative_difference: float

    @property
    def holds(self) -> bool:
        """Tell whether both models may be taken for the same."""
        return self.worst_cosine >= LEAST_COSINE and self.max_relative_difference <= LARGEST_DIFFERENCE

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def compare(wanted: Tensor, got: Tensor) -> Parity:
    """Compare two models' embeddings of the same images, (batch, embed_dim) each."""
    cosines = cosine_similarity(wanted.double(), got.double(), dim=1)
    difference = float((wanted - got).abs().max())
    scale = float(wanted.abs().max())
    return Parity(
        batch=len(wanted),
        worst_cosine=float(cosines.min()),
        mean_cosine=float(cosines.mean()),
        max_difference=difference,
        max_relative_difference=difference / scale if scale else difference,
    )


def check_parity(model: Embeds, exported: Embeds, images: Tensor, batches: Sequence[int] = BATCHES) -> list[Parity]:
    """Embed batches of the images with both models and return how near they are."""
    with torch.inference_mode():
        return [compare(model.embed(images[:batch]), exported.embed(images[:batch])) for batch in batches]


def refuse_difference(parities: Sequence[Parity]) -> None:
    """Refuse an export that computes something else than its model.

    Raises:
        JobError: which batches differ, and by how much.
    """
    problems = [
        Problem(
            f"batch {one.batch}",
            f"worst cosine {one.worst_cosine:.6f}, relative difference {one.max_relative_difference:.2e}",
            f"a cosine of at least {LEAST_COSINE} and a difference of at most {LARGEST_DIFFERENCE:.0e}",
        )
        for one in parities
        if not one.holds
    ]
    if problems:
        raise JobError("The exported model's embeddings are not those of the checkpoint.", problems=problems)
