"""The INT8 file for CPUs, and the gate that it has to pass."""

import logging
from dataclasses import dataclass
from typing import Any

import torch

from tao_skill.config.deploy import Int8
from tao_skill.errors import JobError, Problem
from tao_skill.metric_learning.data.check import CheckedRetrieval
from tao_skill.metric_learning.data.load import load_evaluation_sets
from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.embed import embed_images
from tao_skill.metric_learning.engines.embedder import Embeds
from tao_skill.metric_learning.export.parity import compare
from tao_skill.metric_learning.export.quantise import CPU, measure_ranges, quantise
from tao_skill.metric_learning.export.samples import filled_batches, spread
from tao_skill.metric_learning.progress import Progress
from tao_skill.metric_learning.retrieval.metrics import retrieval_metrics

__all__ = ["Int8Report", "judge", "load_gate_sets", "make_int8"]

log = logging.getLogger(__name__)
_BATCH = 16
_WORKERS = 4
_KEYS = ("export.int8.reference", "export.int8.query")


def load_gate_sets(settings: Int8) -> CheckedRetrieval:
    """Read and check the images on which the INT8 file is made and judged.

    Raises:
        DataError: with all problems.
    """
    progress = Progress("images checked")
    return load_evaluation_sets(settings.reference, settings.query, topk=1, progress=progress, keys=_KEYS)


def make_int8(model: Any, sets: CheckedRetrieval, num_images: int, transform: EvalTransform, batch: int | None) -> Any:
    """Return the model with INT8 weights and activations, for CPUs; ``batch`` is the model's, if it is fixed."""
    paths = spread(sets.reference.paths, num_images)
    log.info("Value ranges are measured on %d reference images.", len(paths))
    batches = (images.numpy() for images in filled_batches(paths, transform, batch or _BATCH))
    return quantise(model, measure_ranges(model, batches, CPU), CPU)


@dataclass(frozen=True)
class Int8Report:
    """What INT8 costs: precision at rank 1 of both models, and the cosines between their query embeddings."""

    precision_fp32: float
    precision_int8: float
    worst_cosine: float
    mean_cosine: float

    @property
    def drop(self) -> float:
        """Return by how much precision at rank 1 is lower."""
        return self.precision_fp32 - self.precision_int8

    def refuse_above(self, largest_drop: float) -> None:
        """Refuse a model that loses too much.

        Raises:
            JobError: with what was measured.
        """
        # The least that floats of this size can tell apart.
        if self.drop <= largest_drop + 1e-9:
            return
        expected = f"at least {self.drop:.4f}; or measure ranges on other images, or on more of them"
        raise JobError(
            f"INT8 loses too much: precision at rank 1 falls from {self.precision_fp32:.4f} to "
            f"{self.precision_int8:.4f}, by {self.drop:.4f}.",
            problems=[Problem("export.int8.max_precision_drop", largest_drop, expected)],
            next_step="use the FP32 file, which is there; OpenVINO with evaluate.precision=bf16 loses less",
        )


def judge(whole: Embeds, small: Embeds, sets: CheckedRetrieval) -> Int8Report:
    """Compare two models on the reference and query images."""
    (precision, queries), (precision_small, queries_small) = (_retrieve(model, sets) for model in (whole, small))
    near = compare(queries, queries_small)
    return Int8Report(precision, precision_small, near.worst_cosine, near.mean_cosine)


def _retrieve(model: Embeds, sets: CheckedRetrieval) -> tuple[float, torch.Tensor]:
    assert sets.query is not None
    reference, query = (
        embed_images(model, images.paths, batch_size=_BATCH, workers=_WORKERS)
        for images in (sets.reference, sets.query)
    )
    names = sets.reference.classes
    found = retrieval_metrics(query, sets.query.labels, reference, sets.reference.labels, class_names=names)
    return found.micro["precision_at_1"], query
