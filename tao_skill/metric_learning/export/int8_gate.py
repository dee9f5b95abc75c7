"""The gate that an INT8 file has to pass: how much precision it may lose."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tao_skill.errors import JobError, Problem
from tao_skill.metric_learning.data.check import CheckedRetrieval
from tao_skill.metric_learning.embed import embed_images
from tao_skill.metric_learning.engines.embedder import Embedder, Embeds
from tao_skill.metric_learning.export.parity import compare
from tao_skill.metric_learning.retrieval.metrics import retrieval_metrics
from tao_skill.metric_learning.retrieval.search import top_k

__all__ = ["Gate", "Int8Report"]

_BATCH = 16
_WORKERS = 4


@dataclass(frozen=True)
class Int8Report:
    """What INT8 costs: precision at rank 1 of both models, and the cosines between their query embeddings.

    ``lost`` and ``gained`` count the queries that one model alone gets right: how sure the drop is. ``engine`` ran the
    INT8 model: engines round differently.
    """

    engine: str
    precision_fp32: float
    precision_int8: float
    worst_cosine: float
    mean_cosine: float
    num_queries: int
    lost: int
    gained: int

    @property
    def drop(self) -> float:
        """Return by how much precision at rank 1 is lower."""
        return self.precision_fp32 - self.precision_int8

    @property
    def standard_error(self) -> float:
        """Return the standard error of the drop, as of a difference of paired proportions (McNemar)."""
        changed, balance = self.lost + self.gained, self.lost - self.gained
        return float((changed - balance**2 / self.num_queries) ** 0.5 / self.num_queries)

    def within(self, largest_drop: float) -> bool:
        """Tell whether the loss is small enough."""
        # The least that floats of this size can tell apart.
        return self.drop <= largest_drop + 1e-9

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**self.__dict__, "drop": self.drop, "standard_error": self.standard_error}

    def refuse_above(self, largest_drop: float, whole: Path) -> None:
        """Refuse a model that loses too much; ``whole`` is the FP32 file, which serves in its place.

        Raises:
            JobError: with what was measured.
        """
        if self.within(largest_drop):
            return
        expected = (
            f"at least {self.drop:.4f}; or measure ranges on other images, or on more of them; or more "
            "export.int8.max_float_layers"
        )
        raise JobError(
            f"INT8 loses too much: precision at rank 1 falls from {self.precision_fp32:.4f} to "
            f"{self.precision_int8:.4f} on {self.engine}, by {self.drop:.4f} (standard error "
            f"{self.standard_error:.4f}: of {self.num_queries} queries {self.lost} are lost and {self.gained} gained).",
            problems=[Problem("export.int8.max_precision_drop", largest_drop, expected)],
            next_step=f"use the FP32 file, which is there: {whole}, as evaluate.checkpoint; or "
            "this job with --force-parent; OpenVINO and ONNX Runtime run it faster than torch does",
        )


class Gate:
    """Reference and query images, and what the whole model answers on them."""

    def __init__(self, whole: Embeds, sets: CheckedRetrieval) -> None:
        """Embed all images with the whole model."""
        self._sets = sets
        self._precision, self._hits, self._queries = self._retrieve(whole)

    def judge(self, engines: Sequence[Embedder]) -> Int8Report:
        """Compare a model with the whole one on the same images; of several engines, the one that loses most counts."""
        return max((self._compared(one) for one in engines), key=lambda report: report.drop)

    def _compared(self, small: Embedder) -> Int8Report:
        precision, hits, queries = self._retrieve(small)
        near = compare(self._queries, queries)
        return Int8Report(
            engine=small.engine,
            precision_fp32=self._precision,
            precision_int8=precision,
            worst_cosine=near.worst_cosine,
            mean_cosine=near.mean_cosine,
            num_queries=len(hits),
            lost=int((self._hits & ~hits).sum()),
            gained=int((hits & ~self._hits).sum()),
        )

    def _retrieve(self, model: Embeds) -> tuple[float, Tensor, Tensor]:
        """Return precision at rank 1, which queries find their class, and the queries' embeddings."""
        sets = self._sets
        assert sets.query is not None
        reference, query = (
            embed_images(model, images.paths, batch_size=_BATCH, workers=_WORKERS)
            for images in (sets.reference, sets.query)
        )
        labels, wanted = sets.reference.labels, torch.as_tensor(sets.query.labels)
        found = retrieval_metrics(
            query, sets.query.labels, reference, labels, class_names=sets.reference.classes
        ).micro["precision_at_1"]
        _, nearest = top_k(query, reference, 1)
        return found, torch.as_tensor(labels)[nearest[:, 0]] == wanted, query
