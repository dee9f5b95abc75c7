"""Find the nearest references of each query, exactly and in bounded memory.

Everything here works on unit vectors, on the CPU, in float32: there the squared L2 distance is ``2 - 2 * cosine``, so
the nearest reference is the one of the highest cosine similarity.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tao_skill.errors import Problem, UsageError

__all__ = ["BLOCK_BYTES", "Embeddings", "block_buffer", "full_precision", "similarities", "top_k", "unit_rows"]

Embeddings = Tensor | NDArray[np.float32]

BLOCK_BYTES = 64 * 2**20
"""Bytes that one block of similarities may take."""

_TILE_COLUMNS = 65_536
"""References compared at a time: wider tiles would leave too few queries in a block for a quick matrix product."""

_MIN_ROWS = 16
"""Fewest rows of a matrix product. Kernels for a few rows sum in another order, so that equal references would get
similarities that differ in the last bit, and a tie would no longer be one."""

_UNIT_TOLERANCE = 1e-6
_ROWS_NAMED = 10


def unit_rows(embeddings: Embeddings, key: str) -> Tensor:
    """Return the embeddings as float32 unit vectors on the CPU; vectors that already are unit vectors aren't copied.

    A zero vector stays zero: its similarity to everything is 0.

    Args:
        embeddings: ``(num_images, embed_dim)``, of any length and float type.
        key: What the embeddings are called in a message.

    Raises:
        UsageError: Not a matrix, empty, or some rows aren't finite (they are named).
    """
    matrix, norms = _rows_and_norms(embeddings, key)
    return matrix if norms is None else _scaled(matrix, norms)


def _rows_and_norms(embeddings: Embeddings, key: str) -> tuple[Tensor, Tensor | None]:
    """Return the embeddings as float32 on the CPU and their lengths ``(num_images, 1)``, None where all are 1."""
    if isinstance(embeddings, np.ndarray) and not embeddings.flags.writeable:
        embeddings = embeddings.copy()  # torch warns of tensors that share read-only memory
    matrix = torch.as_tensor(embeddings).detach()
    if matrix.ndim != 2 or 0 in matrix.shape:
        problem = Problem(key, tuple(matrix.shape), "a matrix (num_images, embed_dim) with at least one row")
        raise UsageError("There are no embeddings to compare.", problems=[problem], next_step=_NO_IMAGES_STEP)
    matrix = matrix.to(device="cpu", dtype=torch.float32)
    norms = torch.linalg.vector_norm(matrix, dim=1, keepdim=True)
    bad = (~torch.isfinite(norms[:, 0])).nonzero()[:, 0].tolist()
    if bad:
        named = ", ".join(map(str, bad[:_ROWS_NAMED])) + (", …" if len(bad) > _ROWS_NAMED else "")
        value = f"rows {named} ({len(bad)} of {len(matrix)}) hold NaN or infinity"
        problem = Problem(key, value, "finite numbers in every row")
        raise UsageError("The model gave embeddings that aren't numbers.", problems=[problem], next_step=_NAN_STEP)
    return matrix, None if float((norms - 1).abs().max()) <= _UNIT_TOLERANCE else norms


def _scaled(rows: Tensor, norms: Tensor) -> Tensor:
    return rows.div(norms.clamp_min(torch.finfo(torch.float32).tiny))


_NO_IMAGES_STEP = "check dataset.val_dataset.reference and dataset.val_dataset.query: both need images"
_NAN_STEP = (
    "evaluate an earlier checkpoint (evaluate.checkpoint=…), or train again with train.precision=fp32 "
    "or a lower train.optim.trunk.base_lr"
)


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute matrix products in full float32 here, whatever precision training chose for the process."""
    chosen = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_float32_matmul_precision(chosen)


def block_buffer(rows: int, columns: int) -> Tensor:
    """Allocate the memory that `similarities` fills again and again for blocks of at most ``rows x columns``."""
    return torch.empty(max(rows, _MIN_ROWS) * columns)


def similarities(queries: Tensor, references: Tensor, buffer: Tensor) -> Tensor:
    """Return cosine similarities ``(num_queries, num_references)``, higher is nearer, as a view of the buffer.

    Args:
        queries: Unit vectors ``(num_queries, embed_dim)``.
        references: Unit vectors ``(num_references, embed_dim)``.
        buffer: From `block_buffer`, large enough.
    """
    rows = max(len(queries), _MIN_ROWS)
    out = buffer[: rows * len(references)].view(rows, len(references))
    padded = F.pad(queries, (0, 0, 0, rows - len(queries))) if rows > len(queries) else queries
    # `out` keeps the product out of autocast too.
    torch.mm(padded, references.T, out=out)
    return out[: len(queries)]


def top_k(
    queries: Embeddings, references: Embeddings, k: int, *, block_bytes: int = BLOCK_BYTES
) -> tuple[Tensor, Tensor]:
    """Return the k nearest references of each query, nearest first; equal similarities in the references' order.

    The search is exact. Beside the results and the embeddings it takes about ``block_bytes`` of memory, however large
    the gallery is. Embeddings of any length are brought to length 1: the references 65,536 at a time.

    Args:
        queries: ``(num_queries, embed_dim)``.
        references: ``(num_references, embed_dim)``.
        k: 1 … num_references.
        block_bytes: Bytes that a block of similarities may take.

    Returns:
        Squared L2 distances of the unit vectors, ``(num_queries, k)`` float32 in [0, 4], lower is nearer; and the
        references' row numbers, ``(num_queries, k)`` int64.

    Raises:
        UsageError: k doesn't fit the gallery, or embeddings are empty, of unequal width or not finite.
    """
    query_units = unit_rows(queries, "query embeddings")
    reference_rows, norms = _rows_and_norms(references, "reference embeddings")
    check_widths(query_units, reference_rows)
    check_k(k, len(reference_rows))
    columns = min(len(reference_rows), _TILE_COLUMNS)
    rows = max(_MIN_ROWS, block_bytes // (4 * columns))
    buffer = block_buffer(min(rows, len(query_units)), columns)
    values = torch.full((len(query_units), k), -torch.inf)
    indices = torch.full((len(query_units), k), -1)
    with full_precision():
        for start in range(0, len(reference_rows), _TILE_COLUMNS):
            tile = reference_rows[start : start + _TILE_COLUMNS]
            # Scaled tile by tile: unit vectors of all would take the memory of a second gallery.
            units = tile if norms is None else _scaled(tile, norms[start : start + _TILE_COLUMNS])
            for first in range(0, len(query_units), rows):
                block = slice(first, first + rows)
                found, places = _nearest(similarities(query_units[block], units, buffer), min(k, len(units)))
                values[block], indices[block] = _merged(values[block], indices[block], found, places + start)
        return values.mul_(-2).add_(2).clamp_(min=0), indices


def check_k(k: int, gallery: int, key: str = "topk") -> None:
    """Refuse a k that is below 1 or larger than the gallery."""
    if not 1 <= k <= gallery:
        problem = Problem(key, k, f"between 1 and the number of reference images, {gallery}")
        raise UsageError(
            "There are fewer reference images than neighbours asked for.",
            problems=[problem],
            next_step=f"set {key} to {gallery} or less, or add reference images",
        )


def check_widths(queries: Tensor, references: Tensor) -> None:
    """Refuse embeddings of different models."""
    if queries.shape[1] != references.shape[1]:
        problem = Problem(
            "query embeddings", queries.shape[1], f"as many columns as the references: {references.shape[1]}"
        )
        raise UsageError(
            "Queries and references were embedded by different models.",
            problems=[problem],
            next_step="embed both with the same checkpoint",
        )


def _merged(values: Tensor, indices: Tensor, found: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Return the best of what earlier tiles and this one gave, as many for each query as there were."""
    # Earlier tiles stand first and the sort is stable: equal similarities keep the references' order.
    best, order = torch.cat([values, found], 1).sort(dim=1, descending=True, stable=True)
    k = values.shape[1]
    return best[:, :k], torch.cat([indices, places], 1).gather(1, order)[:, :k]


def _nearest(block: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k highest similarities of each row and their columns, lower columns first among equal ones."""
    more = min(k + 1, block.shape[1])
    values, indices = block.topk(more, dim=1)
    if more > k:
        # topk chooses freely among equal values: where the k-th equals the next, choose the lowest columns instead.
        for row in (values[:, k - 1] == values[:, k]).nonzero()[:, 0].tolist():
            last = values[row, k - 1]
            higher = int((values[row, :k] > last).sum())
            indices[row, higher:k] = (block[row] == last).nonzero()[: k - higher, 0]
    indices = indices[:, :k].sort(dim=1).values
    values, order = block.gather(1, indices).sort(dim=1, descending=True, stable=True)
    return values, indices.gather(1, order)
