"""Search large galleries with an inverted-file index (IVF) of faiss, and say how often it finds what is nearest.

The index puts the references into cells around centres that k-means finds, and a query is compared with the references
of the nearest cells only (Jégou, Douze & Schmid 2011, "Product quantization for nearest neighbor search", without the
quantization). How many cells are looked at is settled by measuring: until a sample of the queries finds enough of its
exact nearest references.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tao_skill.errors import NotAvailableError, Problem
from tao_skill.installation import install_command
from tao_skill.metric_learning.retrieval.search import Embeddings, check_k, check_widths, top_k, unit_rows

__all__ = ["EXACT_UP_TO", "Found", "IvfIndex", "Kind", "search"]

Kind = Literal["auto", "exact", "ivf"]

EXACT_UP_TO = 100_000
"""References up to which every one is compared: beyond, an index is worth its building."""

RECALL = 0.99
"""Share of the exact nearest references that the search must find in the sample."""

_SAMPLE = 200
_FIRST_CELLS = 8
_POINTS_PER_CELL = 39
"""Fewer training points than these for each cell and faiss warns that the centres are poor."""

_TRAINING_POINTS_PER_CELL = 64
"""More points than these for each cell don't better the centres by much."""

_QUERIES_THAT_PAY = 10_000
"""Queries whose exact search costs as much as building an index: k-means makes ten rounds of comparing 256 roots of the
number of references with 4 roots' worth of centres, some 10,000 comparisons for each reference. On one core an index of
1,000,000 x 128 took 33 s, and the exact search of as many references 4 ms a query."""

_SHARE_THAT_PAYS = 16
"""Looking into this part of the cells costs a query as much as being compared with all references in a batch, whose
matrix product reads them once for many queries. Of 4,000 cells over 1,000,000 x 128, 8 took 0.12 ms a query and 512
took 8 ms; the exact search 4 ms."""

_MOST_EQUAL = 8
"""References beside the k nearest among which equal ones are looked for."""

_SAME = 1e-6


@dataclass(frozen=True)
class Found:
    """Hold the nearest references and how they were found.

    ``distances`` are squared L2 distances of unit vectors ``(num_queries, k)``, nearest first, ``indices`` the
    references' row numbers; ``facts`` says in plain data which search it was and its measured recall.
    """

    distances: Tensor
    indices: Tensor
    facts: dict[str, Any]


class IvfIndex:
    """An inverted-file index over unit vectors; cosine similarity decides."""

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def build(cls, references: Tensor) -> IvfIndex:
        """Return the index of unit vectors ``(num_references, embed_dim)``.

        Raises:
            NotAvailableError: faiss isn't installed.
        """
        faiss = _faiss()
        vectors = references.numpy()
        cells = max(1, min(round(4 * math.sqrt(len(vectors))), len(vectors) // _POINTS_PER_CELL))
        index = faiss.index_factory(vectors.shape[1], f"IVF{cells},Flat", faiss.METRIC_INNER_PRODUCT)
        index.cp.max_points_per_centroid = _TRAINING_POINTS_PER_CELL
        index.cp.min_points_per_centroid = 1  # of few points there is one cell, about which nobody needs a warning
        index.train(vectors)
        index.add(vectors)
        return cls(index)

    @classmethod
    def load(cls, path: Path) -> IvfIndex:
        """Read an index that `save` wrote.

        Raises:
            NotAvailableError: faiss isn't installed.
            RuntimeError: no such file, or a damaged one.
        """
        return cls(_faiss().read_index(str(path)))

    def save(self, path: Path) -> None:
        """Write the index to a file."""
        _faiss().write_index(self._index, str(path))

    @property
    def cells(self) -> int:
        """Return into how many cells the references are divided."""
        return int(self._index.nlist)

    def nearest(self, queries: Tensor, k: int, cells: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return similarities and row numbers ``(num_queries, k)``; -1 where the cells hold fewer than k."""
        self._index.nprobe = cells
        similarities, rows = self._index.search(queries.numpy(), k)
        return similarities, rows


def search(
    queries: Embeddings,
    references: Embeddings,
    k: int,
    *,
    kind: Kind = "auto",
    index: Callable[[Tensor], IvfIndex] | None = None,
) -> Found:
    """Return the k nearest references of each query, found exactly or with an index as the size demands.

    Args:
        queries: ``(num_queries, embed_dim)``.
        references: ``(num_references, embed_dim)``.
        k: 1 … num_references.
        kind: auto is exact up to 100,000 references and where faiss isn't installed, else ivf. Beyond, an index that
            isn't kept must be paid for by the queries at hand: few of them are compared with all references. So are
            200 or fewer where it is kept, with which its recall would be measured, and all queries where so many cells
            would have to be looked at that an index saves nothing.
        index: Gives an index of the references' unit vectors that is kept; None builds one for these queries alone.

    Raises:
        NotAvailableError: ivf is asked for and faiss isn't installed.
        UsageError: as `top_k`.
    """
    query_units, reference_units = unit_rows(queries, "query embeddings"), unit_rows(references, "reference embeddings")
    check_widths(query_units, reference_units)
    check_k(k, len(reference_units))
    chosen, reason = _choose(kind, len(reference_units), len(query_units), kept=index is not None)
    if chosen == "ivf":
        made = (index or IvfIndex.build)(reference_units)
        most = made.cells if kind == "ivf" else min(made.cells, max(_FIRST_CELLS, made.cells // _SHARE_THAT_PAYS))
        cells, recall = _settle(query_units, reference_units, k, made, most)
        if recall >= RECALL or most == made.cells:
            facts = {"kind": "ivf", "recall": round(recall, 4), "reason": reason, "cells": made.cells}
            facts |= {"cells_searched": cells, "sample": min(_SAMPLE, len(query_units))}
            return Found(*_with_index(query_units, reference_units, k, made, cells), facts)
        reason = f"{most} of {made.cells} cells hold {recall:.2f} of what is nearest, and more would not pay"
    distances, indices = top_k(query_units, reference_units, k)
    return Found(distances, indices, {"kind": "exact", "recall": 1.0, "reason": reason})


def _choose(kind: Kind, size: int, num_queries: int, *, kept: bool) -> tuple[Literal["exact", "ivf"], str]:
    """Return the search and why; an index that isn't ``kept`` has to be paid for by the queries alone."""
    if kind != "auto":
        return kind, "as asked for"
    if size <= EXACT_UP_TO:
        return "exact", f"{size} references are at most {EXACT_UP_TO}"
    if importlib.util.find_spec("faiss") is None:
        missing = f"faiss is not installed: {install_command('gallery')}"
        return "exact", f"{size} references are more than {EXACT_UP_TO}, but {missing}"
    if kept and num_queries <= _SAMPLE:
        return "exact", f"{num_queries} queries are no more than an index is measured with"
    if not kept and num_queries < _QUERIES_THAT_PAY:
        return "exact", f"for {num_queries} queries an index would not pay; a gallery keeps one"
    return "ivf", f"{size} references are more than {EXACT_UP_TO}"


def _settle(queries: Tensor, references: Tensor, k: int, index: IvfIndex, most: int) -> tuple[int, float]:
    """Return in how many cells, ``most`` at most, a sample of the queries finds enough, and its recall there."""
    sample = queries[torch.linspace(0, len(queries) - 1, min(_SAMPLE, len(queries))).long()]
    exact, _ = top_k(sample, references, k)
    farthest = 1 - exact[:, -1:].numpy() / 2  # similarity of the k-th
    cells = min(_FIRST_CELLS, most)
    while True:
        similarities, rows = index.nearest(sample, k, cells)
        # By similarity, not by row: of equal references either may be found.
        recall = float(((similarities >= farthest - _SAME) & (rows >= 0)).mean())
        if recall >= RECALL or cells == most:
            return cells, recall
        cells = min(2 * cells, most)


def _with_index(queries: Tensor, references: Tensor, k: int, index: IvfIndex, cells: int) -> tuple[Tensor, Tensor]:
    # Of equal references the index finds any first: a few more than k are asked for and put in the references' order.
    similarities, rows = map(torch.from_numpy, index.nearest(queries, min(k + _MOST_EQUAL, len(references)), cells))
    indices, order = rows.sort(dim=1)
    ranked, places = similarities.gather(1, order).sort(dim=1, descending=True, stable=True)
    indices = indices.gather(1, places)[:, :k]
    distances = ranked[:, :k].mul(-2).add_(2).clamp_(0, 4)
    short = (indices < 0).any(dim=1)
    if short.any():
        distances[short], indices[short] = top_k(queries[short], references, k)
    return distances, indices


def _faiss() -> Any:
    # It tells everybody which processor features it looks for.
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # SWIG's types lack a module name, which newer Pythons complain of.
            warnings.simplefilter("ignore", DeprecationWarning)
            return importlib.import_module("faiss")
    except ImportError as error:
        raise NotAvailableError(
            "An inverted-file index needs faiss, which is not installed.",
            problems=[Problem("search", "ivf", "auto or exact without faiss")],
            next_step=install_command("gallery"),
        ) from error
