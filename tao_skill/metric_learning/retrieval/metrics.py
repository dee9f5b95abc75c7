"""Measure how well a gallery answers queries: exact metrics over the full ranking, in bounded memory.

Per query, with R references of its class and ``rank_1 < … < rank_R`` their places in the ranking of the whole gallery
(as in Musgrave et al. 2020, "A Metric Learning Reality Check", and pytorch-metric-learning's AccuracyCalculator with
``k=None``); all are in [0, 1], higher is better:

======================  ==========================================================================================
precision_at_1          1 if rank_1 is 1
r_precision             share of right references among the first R
mean_average_precision  mean over i = 1 … R of ``i / rank_i``
mean_reciprocal_rank    ``1 / rank_1``
map_at_r                like the average precision, but terms with rank_i > R count 0
top_k_accuracy          1 if rank_1 <= k (CMC@k)
precision_at_k          share of right references among the first k
======================  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from tao_skill.errors import DataError, Problem, UsageError
from tao_skill.metric_learning.retrieval.ranks import RankBlock, relevant_ranks
from tao_skill.metric_learning.retrieval.search import (
    BLOCK_BYTES,
    Embeddings,
    check_k,
    check_widths,
    top_k,
    unit_rows,
)

__all__ = ["ClassMetrics", "RetrievalMetrics", "label_array", "retrieval_metrics", "top_accuracy"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

CLASS_METRICS = ("precision_at_1", "r_precision", "mean_average_precision", "mean_reciprocal_rank")


@dataclass(frozen=True)
class ClassMetrics:
    """Hold one class: means over its queries; ``None`` where it has no query or no reference."""

    name: str
    num_queries: int
    num_references: int
    precision_at_1: float | None
    r_precision: float | None
    mean_average_precision: float | None
    mean_reciprocal_rank: float | None


@dataclass(frozen=True)
class RetrievalMetrics:
    """Hold the metrics of one evaluation; the module's docstring says what each name means.

    Attributes:
        per_query: For each name ``(num_queries,)`` float64; NaN for queries that aren't scored.
        micro: For each name the mean over scored queries.
        macro: For each name the mean over the classes that have scored queries.
        per_class: One row for each class of the gallery or the queries, in the order of the labels.
        nearest_distance: Squared distance of unit vectors to the nearest reference ``(num_queries,)``, in [0, 4].
        foreign_distance: The same to the nearest reference of another class; infinity where there is no other.
        scored: Queries whose class is in the gallery ``(num_queries,)``.
        num_queries: All queries.
        num_scored: Queries whose class is in the gallery: the others are left out of every mean.
        num_open_set: Queries whose class isn't in the gallery.
        num_references: Images of the gallery.
        num_classes: Classes of the gallery.
        topk: The k of top_k_accuracy and precision_at_k.
    """

    per_query: dict[str, Floats]
    micro: dict[str, float]
    macro: dict[str, float]
    per_class: list[ClassMetrics]
    nearest_distance: Floats
    foreign_distance: Floats
    scored: NDArray[np.bool_]
    num_queries: int
    num_scored: int
    num_open_set: int
    num_references: int
    num_classes: int
    topk: tuple[int, ...]


def top_accuracy(k: int) -> str:
    """Return the name under which the share of queries with a right class among the k nearest is kept."""
    return f"top_{k}_accuracy"


def retrieval_metrics(
    query_embeddings: Embeddings,
    query_labels: ArrayLike,
    reference_embeddings: Embeddings,
    reference_labels: ArrayLike,
    *,
    class_names: Sequence[str] | None = None,
    topk: Sequence[int] = (),
    block_bytes: int = BLOCK_BYTES,
) -> RetrievalMetrics:
    """Rank the gallery for each query by cosine similarity, ties in the gallery's order, and score the rankings.

    Embeddings of any length are brought to length 1 first. Beside the embeddings it takes about ``block_bytes``.

    Args:
        query_embeddings: ``(num_queries, embed_dim)``.
        query_labels: ``(num_queries,)`` whole numbers.
        reference_embeddings: ``(num_references, embed_dim)``.
        reference_labels: ``(num_references,)`` whole numbers of the same label space.
        class_names: Name of label i at place i, for the table of classes; the label itself where left out.
        topk: The k for which top_k_accuracy and precision_at_k are wanted, each from 1 to num_references.
        block_bytes: Bytes that a block of queries may take.

    Raises:
        UsageError: Embeddings are empty, not finite or of unequal width, labels don't fit them, a k doesn't fit.
        DataError: No query's class is in the gallery.
    """
    queries, references = (
        unit_rows(query_embeddings, "query embeddings"),
        unit_rows(reference_embeddings, "reference embeddings"),
    )
    check_widths(queries, references)
    known = len(class_names) if class_names is not None else None
    labels = label_array(query_labels, len(queries), "query labels", known)
    gallery = label_array(reference_labels, len(references), "reference labels", known)
    for k in topk:
        check_k(k, len(references))
    scored = np.isin(labels, gallery)
    if not scored.any():
        raise _no_common_class(labels, gallery, class_names)
    per_query, nearest, foreign = _score_all(queries, labels, references, gallery, topk=topk, block_bytes=block_bytes)
    means = _class_means(per_query, labels, scored)
    return RetrievalMetrics(
        per_query=per_query,
        micro={name: float(values[scored].mean()) for name, values in per_query.items()},
        macro={name: float(np.nanmean(values)) for name, values in means.items()},
        per_class=_class_rows(means, labels, gallery, class_names),
        nearest_distance=nearest,
        foreign_distance=foreign,
        scored=scored,
        num_queries=len(labels),
        num_scored=int(scored.sum()),
        num_open_set=int((~scored).sum()),
        num_references=len(gallery),
        num_classes=len(np.unique(gallery)),
        topk=tuple(topk),
    )


def label_array(labels: ArrayLike, expected: int, key: str, known: int | None = None) -> Ints:
    """Return labels as ``(expected,)`` int64.

    Raises:
        UsageError: They aren't whole numbers, not as many as expected, negative, or beyond the ``known`` classes.
    """
    array = labels.numpy(force=True) if isinstance(labels, torch.Tensor) else np.asarray(labels)
    problem = None
    if array.shape != (expected,):
        problem = Problem(key, array.shape, f"one label for each embedding: ({expected},)")
    elif not np.issubdtype(array.dtype, np.integer):
        problem = Problem(key, str(array.dtype), "whole numbers")
    elif array.min() < 0 or (known is not None and array.max() >= known):
        wanted = "0 or more" if known is None else f"between 0 and {known - 1}, one for each class name"
        problem = Problem(key, f"{array.min()} … {array.max()}", wanted)
    if problem is not None:
        raise UsageError("The labels don't fit the embeddings.", problems=[problem], next_step=_LABELS_STEP)
    return array.astype(np.int64, copy=False)


_LABELS_STEP = "build the embeddings and their labels again from the same list of images"


def _score_all(
    queries: Tensor, labels: Ints, references: Tensor, gallery: Ints, *, topk: Sequence[int], block_bytes: int
) -> tuple[dict[str, Floats], Floats, Floats]:
    """Return each query's scores, its distance to the nearest reference, and to the nearest of another class."""
    per_query: dict[str, Floats] = {}
    own, foreign = np.full((2, len(labels)), np.nan)
    for block in relevant_ranks(queries, labels, references, gallery, block_bytes):
        for name, values in _scores(block, topk).items():
            per_query.setdefault(name, np.full(len(labels), np.nan))[block.rows] = values
        own[block.rows], foreign[block.rows] = _distance(block.nearest_right), _distance(block.nearest_wrong)
    unknown = np.flatnonzero(np.isnan(own))
    if len(unknown):
        distances, _ = top_k(queries[torch.from_numpy(unknown)], references, 1, block_bytes=block_bytes)
        own[unknown] = foreign[unknown] = distances[:, 0].numpy()
    return per_query, np.minimum(own, foreign), foreign


def _distance(similarity: NDArray[np.float32]) -> Floats:
    """Return the squared distance of unit vectors with such a cosine, as `top_k` computes it."""
    return np.maximum(2 - 2 * similarity, 0).astype(np.float64)


def _scores(block: RankBlock, topk: Sequence[int]) -> dict[str, Floats]:
    """Score a block of queries: one value in [0, 1] for each query and name."""
    ranks, counts = block.ranks, block.counts
    right = counts[:, None]
    precisions = np.arange(1, ranks.shape[1] + 1) / ranks  # gaps have rank infinity: 0
    within = ranks <= right
    scores = {
        "precision_at_1": (ranks[:, 0] == 1).astype(np.float64),
        "r_precision": within.sum(axis=1) / counts,
        "mean_average_precision": precisions.sum(axis=1) / counts,
        "mean_reciprocal_rank": 1 / ranks[:, 0],
        "map_at_r": np.where(within, precisions, 0).sum(axis=1) / counts,
    }
    for k in topk:
        scores[top_accuracy(k)] = (ranks[:, 0] <= k).astype(np.float64)
        scores[f"precision_at_{k}"] = (ranks <= k).sum(axis=1) / k
    return scores


def _class_means(per_query: dict[str, Floats], labels: Ints, scored: NDArray[np.bool_]) -> dict[str, Floats]:
    """Return for each name the mean over each label's scored queries, NaN where there are none."""
    scored_labels = labels[scored]
    sizes = np.bincount(scored_labels).astype(np.float64)
    sizes[sizes == 0] = np.nan
    return {name: np.bincount(scored_labels, values[scored]) / sizes for name, values in per_query.items()}


def _class_rows(
    means: dict[str, Floats], labels: Ints, gallery: Ints, class_names: Sequence[str] | None
) -> list[ClassMetrics]:
    """Return one row for each label that a query or a reference has."""
    present = np.union1d(labels, gallery)
    queries = np.bincount(labels, minlength=present[-1] + 1)
    references = np.bincount(gallery, minlength=present[-1] + 1)

    def mean(name: str, label: int) -> float | None:
        values = means[name]
        return float(values[label]) if label < len(values) and not np.isnan(values[label]) else None

    return [
        ClassMetrics(
            class_names[label] if class_names is not None else str(label),
            int(queries[label]),
            int(references[label]),
            *(mean(name, label) for name in CLASS_METRICS),
        )
        for label in present.tolist()
    ]


def _no_common_class(labels: Ints, gallery: Ints, class_names: Sequence[str] | None) -> DataError:
    """Explain that queries and gallery share no class."""

    def named(values: Ints) -> str:
        some = [class_names[label] if class_names is not None else str(label) for label in np.unique(values)[:5]]
        return ", ".join(some) + (", …" if len(np.unique(values)) > 5 else "")

    problem = Problem("dataset.val_dataset.query", named(labels), f"classes of the reference set: {named(gallery)}")
    return DataError(
        "No query belongs to a class of the reference set, so there is nothing to measure.",
        problems=[problem],
        next_step="give the class folders of dataset.val_dataset.reference and .query the same names",
    )
