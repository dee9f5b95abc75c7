"""Find at which ranks the right references of each query stand, without keeping the whole ranking.

Every retrieval metric follows from these ranks alone. A rank is counted: 1 + the number of references that are more
similar + the number of equally similar ones that stand earlier in the gallery.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tao_skill.metric_learning.retrieval.search import block_buffer, full_precision, similarities

__all__ = ["RankBlock", "relevant_ranks"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_ROWS_THAT_PAY = 64
"""Rows that a block has even where they take more memory: with 1,000,000 references products of 16 rows took twice as
long for each row. Beside so many references the block is small."""

_BYTES_PER_RELEVANT = 80
"""Working memory of one right reference of one query, in this module and for the scores made of it."""
_ROWS_PER_TASK = 16

_FEW = 128
"""Up to so many right references are looked up in the sorted similarities one by one. Beyond, ties are likely in every
row and the look-up costs more than sorting a row together with its columns."""


@dataclass(frozen=True)
class RankBlock:
    """Hold a block of queries: row numbers ``(b,)``, how many references are right ``(b,)``, and their ranks.

    ``ranks`` is ``(b, most_right_references)``, ascending from 1, filled up with infinity. ``nearest_right`` and
    ``nearest_wrong`` are the highest similarities to a reference of the query's class and of another class ``(b,)``;
    the latter is -infinity where there is no other class.
    """

    rows: Ints
    counts: Ints
    ranks: Floats
    nearest_right: NDArray[np.float32]
    nearest_wrong: NDArray[np.float32]


def relevant_ranks(
    queries: Tensor, query_labels: Ints, references: Tensor, reference_labels: Ints, block_bytes: int
) -> Iterator[RankBlock]:
    """Yield the ranks of all references of each query's class, block by block; other queries are left out.

    Takes about ``block_bytes`` of memory (at least 64 rows of ``4 * num_references`` bytes).

    Args:
        queries: Unit vectors ``(num_queries, embed_dim)``.
        query_labels: ``(num_queries,)``.
        references: Unit vectors ``(num_references, embed_dim)``.
        reference_labels: ``(num_references,)``, numbers of the same label space.
        block_bytes: Bytes that a block may take.
    """
    by_class = np.argsort(reference_labels, kind="stable")
    sorted_labels = reference_labels[by_class]
    first = np.searchsorted(sorted_labels, query_labels)
    counts = np.searchsorted(sorted_labels, query_labels, side="right") - first
    # Queries with equally many right references stand together, so that a block's matrix has few gaps.
    order = np.lexsort((query_labels, counts))
    order = order[counts[order] > 0]
    blocks = list(_blocks(counts[order], len(references), block_bytes))
    # Where classes are of very different sizes, any block may be the largest.
    buffer = block_buffer(max((stop - start for start, stop in blocks), default=0), len(references))
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for start, stop in blocks:
            rows = order[start:stop]
            columns = first[rows, None] + np.arange(counts[rows[-1]])
            members = by_class[np.minimum(columns, len(by_class) - 1)]
            with full_precision():
                block = similarities(queries[torch.from_numpy(rows)], references, buffer)
                found = _block_ranks(block, members, counts[rows], pool)
            yield RankBlock(rows, counts[rows], *found)


def _blocks(counts: Ints, num_references: int, block_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield start and stop of blocks of queries, whose right references (ascending counts) fit the memory too."""
    start = 0
    while start < len(counts):
        rows = _rows(int(counts[start]), num_references, block_bytes)
        largest = int(counts[min(start + rows, len(counts)) - 1])
        stop = min(start + _rows(largest, num_references, block_bytes), len(counts))
        yield start, stop
        start = stop


def _rows(right: int, num_references: int, block_bytes: int) -> int:
    enough = max(block_bytes, _ROWS_THAT_PAY * 4 * num_references)
    return max(16, enough // (4 * num_references + _BYTES_PER_RELEVANT * right))


def _block_ranks(
    block: Tensor, members: Ints, counts: Ints, pool: ThreadPoolExecutor
) -> tuple[Floats, NDArray[np.float32], NDArray[np.float32]]:
    """Return ranks of the member columns of a block of similarities, and what is nearest among them and the others.

    The block is used up: the members' similarities are overwritten.
    """
    similar = block.numpy()
    ranks = np.full(members.shape, np.inf)
    right, wrong = np.empty((2, len(similar)), dtype=np.float32)

    def work(start: int) -> None:
        for row in range(start, min(start + _ROWS_PER_TASK, len(similar))):
            own = members[row, : counts[row]]
            ranks[row, : counts[row]] = _row_ranks(similar[row], own)
            right[row] = similar[row, own].max()
            similar[row, own] = -np.inf
            wrong[row] = similar[row].max()

    list(pool.map(work, range(0, len(similar), _ROWS_PER_TASK)))
    return ranks, right, wrong


def _row_ranks(similar: NDArray[np.float32], members: Ints) -> Ints:
    """Return ascending ranks of the members of one row ``(num_references,)``."""
    if len(members) <= _FEW:
        ascending = np.sort(similar)  # with SIMD and without the GIL
        own = np.sort(similar[members])[::-1]
        not_above = np.searchsorted(ascending, own, side="right")
        if (not_above - np.searchsorted(ascending, own) == 1).all():
            return len(similar) + 1 - not_above
    return _ranks_with_ties(similar, members)


def _ranks_with_ties(similar: NDArray[np.float32], members: Ints) -> Ints:
    """Return ascending ranks of the members of one row, equal similarities ranked in the references' order.

    Similarity and column become one integer key, so that a plain sort settles ties, several times as fast as a stable
    argsort: the bits of a float order like integers, those of negative floats the other way round.
    """
    bits = (similar + np.float32(0)).view(np.int32)  # + 0 makes -0.0 equal to 0.0
    bits ^= (bits >> 31) & 0x7FFF_FFFF
    keys = np.invert(bits).astype(np.int64)
    keys <<= 32
    keys |= np.arange(len(similar))
    keys.sort()
    keys &= 0xFFFF_FFFF
    right = np.zeros(len(similar), dtype=np.bool_)
    right[members] = True
    return np.flatnonzero(right[keys]) + 1
