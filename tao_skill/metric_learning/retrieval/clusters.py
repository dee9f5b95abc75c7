"""Measure whether embeddings fall into their classes on their own: AMI and NMI of a k-means clustering."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from tao_skill.metric_learning.retrieval.metrics import label_array
from tao_skill.metric_learning.retrieval.search import Embeddings, block_buffer, full_precision, similarities, unit_rows

__all__ = ["adjusted_mutual_information", "cluster_metrics", "k_means", "normalized_mutual_information"]

Ints = NDArray[np.int64]

MAX_ITERATIONS = 20
_BLOCK_BYTES = 16 * 2**20
_SAME_POINT = 1e-6
"""Squared distances below this are rounding."""


def cluster_metrics(
    embeddings: Embeddings, labels: ArrayLike, seed: int = 0, *, cluster_labels: ArrayLike | None = None
) -> dict[str, float]:
    """Return AMI and NMI between labels and a k-means clustering into as many clusters as there are labels.

    Both are 1 for equal partitions, higher is better; a random clustering has AMI 0, and an NMI above 0 that grows
    with the number of clusters.

    Args:
        embeddings: ``(num_images, embed_dim)``, brought to length 1 first.
        labels: ``(num_images,)`` whole numbers.
        seed: Of the clustering: equal seeds give equal results.
        cluster_labels: ``(num_images,)``, a clustering to measure instead of making one.

    Raises:
        UsageError: Embeddings are empty or not finite, or labels don't fit them.
    """
    units = unit_rows(embeddings, "embeddings")
    classes = label_array(labels, len(units), "labels")
    if cluster_labels is None:
        clusters = k_means(units, len(np.unique(classes)), seed)
    else:
        clusters = label_array(cluster_labels, len(units), "cluster labels")
    table = _Table.of(classes, clusters)
    return {"AMI": adjusted_mutual_information(table), "NMI": normalized_mutual_information(table)}


def k_means(units: Tensor, num_clusters: int, seed: int) -> Ints:
    """Cluster unit vectors ``(num_images, embed_dim)`` and return each one's cluster ``(num_images,)``.

    Lloyd's algorithm, at most 20 rounds (as many as AccuracyCalculator's default), from centres that are drawn as
    k-means++ draws them. Clusters that run empty move to the points that are farthest from their centres.
    """
    generator = torch.Generator().manual_seed(seed)
    with full_precision():
        centres = _draw_centres(units, num_clusters, generator)
        buffer = block_buffer(_block_rows(len(centres)), len(centres))
        nearest = torch.full((len(units),), -1)
        for _ in range(MAX_ITERATIONS):
            previous = nearest
            nearest, closeness = _assign(units, centres, buffer)
            if torch.equal(nearest, previous):
                break
            sizes = torch.bincount(nearest, minlength=len(centres))
            centres = torch.zeros_like(centres).index_add_(0, nearest, units) / sizes.clamp_min(1)[:, None]
            empty = (sizes == 0).nonzero()[:, 0]
            centres[empty] = units[closeness.topk(len(empty), largest=False).indices]
        return nearest.numpy()


def _draw_centres(units: Tensor, num_clusters: int, generator: torch.Generator) -> Tensor:
    """Draw distinct images as first centres ``(at most num_clusters, embed_dim)``, far ones more likely.

    k-means++ draws one centre at a time, each image with a chance proportional to its squared distance from the
    nearest centre drawn so far. Here an eighth of what is still missing is drawn at a time: for 2,000 clusters some
    50 matrix products instead of 2,000, and one by one at the end, where it matters.
    """
    drawn = torch.randint(len(units), (1,), generator=generator)
    centres = [drawn]
    distances = torch.full((len(units),), torch.inf)
    missing = num_clusters - 1
    while missing:
        buffer = block_buffer(_block_rows(len(drawn)), len(drawn))
        _, closeness = _assign(units, units[drawn], buffer)
        # |x - c|² = 1 + |c|² - 2 (x·c); closeness is x·c - |c|²/2.
        distances = torch.minimum(distances, 1 - 2 * closeness)
        distances[distances < _SAME_POINT] = 0
        possible = int(distances.count_nonzero())
        if not possible:
            break
        drawn = torch.multinomial(distances, min(max(1, missing // 8), possible), generator=generator)
        centres.append(drawn)
        missing -= len(drawn)
    return units[torch.cat(centres)]


def _block_rows(columns: int) -> int:
    return max(16, _BLOCK_BYTES // (4 * columns))


def _assign(units: Tensor, centres: Tensor, buffer: Tensor) -> tuple[Tensor, Tensor]:
    """Return each vector's nearest centre and ``x·c - |c|²/2``, which is highest for it; both ``(num_images,)``."""
    half = centres.square().sum(dim=1) / 2
    nearest, closeness = torch.empty(len(units), dtype=torch.int64), torch.empty(len(units))
    rows = _block_rows(len(centres))
    for start in range(0, len(units), rows):
        block = slice(start, start + rows)
        closeness[block], nearest[block] = similarities(units[block], centres, buffer).sub_(half).max(dim=1)
    return nearest, closeness


@dataclass(frozen=True)
class _Table:
    """Hold the contingency table of two partitions: sizes of their parts, and the cells that aren't empty."""

    total: int
    class_sizes: Ints
    cluster_sizes: Ints
    cells: Ints
    cell_products: NDArray[np.float64]
    """For each cell the product of its class's and its cluster's size."""

    @classmethod
    def of(cls, classes: Ints, clusters: Ints) -> _Table:
        _, rows, class_sizes = np.unique(classes, return_inverse=True, return_counts=True)
        _, columns, cluster_sizes = np.unique(clusters, return_inverse=True, return_counts=True)
        codes, cells = np.unique(rows * len(cluster_sizes) + columns, return_counts=True)
        products = class_sizes[codes // len(cluster_sizes)] * cluster_sizes[codes % len(cluster_sizes)].astype(float)
        return cls(len(classes), class_sizes, cluster_sizes, cells, products)

    @property
    def equal(self) -> bool:
        """Say whether both partitions are the same."""
        return len(self.cells) == len(self.class_sizes) == len(self.cluster_sizes)

    @property
    def information(self) -> float:
        """Return the mutual information in nats."""
        return float((self.cells / self.total * np.log(self.total * self.cells / self.cell_products)).sum())

    @property
    def mean_entropy(self) -> float:
        """Return the mean of both partitions' entropies in nats."""
        shares = [sizes / self.total for sizes in (self.class_sizes, self.cluster_sizes)]
        return float(-sum((share * np.log(share)).sum() for share in shares) / 2)


def normalized_mutual_information(table: _Table) -> float:
    """Return mutual information over mean entropy; 1 for equal partitions, 0 where one tells nothing of the other."""
    return 1.0 if table.equal else max(0.0, table.information / table.mean_entropy)


def adjusted_mutual_information(table: _Table) -> float:
    """Return mutual information adjusted for chance: 1 for equal partitions, 0 for random ones; may fall below 0."""
    if table.equal:
        return 1.0
    if min(len(table.class_sizes), len(table.cluster_sizes)) == 1:
        return 0.0
    expected = _expected_information(table)
    return (table.information - expected) / (table.mean_entropy - expected)


def _expected_information(table: _Table) -> float:
    """Return the mean mutual information of random partitions with the same sizes, in nats.

    Vinh, Epps & Bailey 2010, equation 24a. It depends on the sizes alone, and few sizes differ: each pair of sizes is
    computed once and counted as often as it occurs.
    """
    total = table.total
    log_factorial = torch.lgamma(torch.arange(1, total + 2, dtype=torch.float64)).numpy()
    expected = 0.0
    clusters = list(zip(*np.unique(table.cluster_sizes, return_counts=True), strict=True))
    for a, times_a in zip(*np.unique(table.class_sizes, return_counts=True), strict=True):
        for b, times_b in clusters:
            n = np.arange(max(1, a + b - total), min(a, b) + 1)
            log_chance = (
                log_factorial[a] + log_factorial[b] + log_factorial[total - a] + log_factorial[total - b]
                - log_factorial[total] - log_factorial[n] - log_factorial[a - n] - log_factorial[b - n]
                - log_factorial[total - a - b + n]
            )  # fmt: skip
            terms = n / total * np.log(total * n / (float(a) * float(b))) * np.exp(log_chance)
            expected += float(times_a * times_b * terms.sum())
    return expected
