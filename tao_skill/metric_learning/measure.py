"""Measures retrieval: the one way in which validation and evaluation arrive at their numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import Tensor

from tao_skill.errors import JobError, Problem
from tao_skill.metric_learning.data.image_set import ImageSet
from tao_skill.metric_learning.data.pixels import PixelSource
from tao_skill.metric_learning.embed import embed_images
from tao_skill.metric_learning.engines.embedder import Embeds
from tao_skill.metric_learning.retrieval.clusters import cluster_metrics
from tao_skill.metric_learning.retrieval.metrics import RetrievalMetrics, retrieval_metrics
from tao_skill.metric_learning.retrieval.report import metric_names

__all__ = ["Embedded", "RetrievalTask", "embed_task", "measure_embedded", "measure_retrieval"]


class EmbedsImages(Protocol):
    """Embeds the images of paths, (num_images, embed_dim), as `embed_images` does."""

    def __call__(
        self,
        embedder: Embeds,
        paths: Sequence[Path],
        *,
        batch_size: int,
        workers: int,
        pixels: PixelSource | None = None,
    ) -> Tensor: ...


@dataclass(frozen=True)
class RetrievalTask:
    """Queries to look up in a reference set, and how their images are read.

    ``reference_embeddings`` are those of a gallery ``(num_references, embed_dim)``, whose images aren't read.
    """

    reference: ImageSet
    query: ImageSet
    batch_size: int
    workers: int
    seed: int = 0
    pixels: PixelSource | None = None
    reference_embeddings: Tensor | None = None


@dataclass(frozen=True)
class Embedded:
    """The embeddings of a task, ``(num_references, embed_dim)`` and ``(num_queries, embed_dim)``."""

    reference: Tensor
    query: Tensor


def measure_retrieval(
    embedder: Embeds,
    task: RetrievalTask,
    prefix: Literal["val", "test"],
    topk: Sequence[int] = (),
) -> tuple[dict[str, float], RetrievalMetrics]:
    """Embed both sets, rank the reference for each query, and return the metrics by their public names and in full.

    Raises:
        DataError: an image can't be decoded.
        JobError: embeddings are not finite: the training diverged.
    """
    return measure_embedded(embed_task(embedder, task), task, prefix, topk)


def embed_task(embedder: Embeds, task: RetrievalTask, embed: EmbedsImages = embed_images) -> Embedded:
    """Return the embeddings of both sets; raises as `measure_retrieval`."""
    reference = task.reference_embeddings
    if reference is None:
        reference = embed(embedder, task.reference.paths, **_reading(task))
    query = embed(embedder, task.query.paths, **_reading(task))
    if not (reference.isfinite().all() and query.isfinite().all()):
        raise JobError(
            "The model gives embeddings that are not finite: its training diverged.",
            problems=[Problem("train.optim.trunk.base_lr", "", "a lower rate, or train.precision = fp32")],
            next_step="train again, or take an earlier checkpoint: --parent-checkpoint EPOCH",
        )
    return Embedded(reference, query)


def measure_embedded(
    found: Embedded, task: RetrievalTask, prefix: Literal["val", "test"], topk: Sequence[int] = ()
) -> tuple[dict[str, float], RetrievalMetrics]:
    """Return the metrics of a task's embeddings, by their public names and in full."""
    metrics = retrieval_metrics(
        found.query,
        task.query.labels,
        found.reference,
        task.reference.labels,
        class_names=task.reference.classes,
        topk=topk,
    )
    return metric_names(prefix, metrics, cluster_metrics(found.query, task.query.labels, task.seed)), metrics


def _reading(task: RetrievalTask) -> dict[str, Any]:
    return {"batch_size": task.batch_size, "workers": task.workers, "pixels": task.pixels}
