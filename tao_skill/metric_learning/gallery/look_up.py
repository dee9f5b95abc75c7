"""Look up what is nearest in a gallery; a large one keeps its index beside it."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path

from torch import Tensor

from tao_skill.errors import DataError, Problem
from tao_skill.metric_learning.files import replacing
from tao_skill.metric_learning.gallery.own_files import index_file
from tao_skill.metric_learning.gallery.store import Contents
from tao_skill.metric_learning.retrieval.ivf import Found, IvfIndex, Kind, search

__all__ = ["nearest_in_gallery", "rivals"]

_log = logging.getLogger(__name__)


def nearest_in_gallery(folder: Path, contents: Contents, queries: Tensor, k: int, kind: Kind = "auto") -> Found:
    """Return the k nearest entries of each query ``(num_queries, embed_dim)``.

    Raises:
        DataError: the gallery is empty.
        UsageError, NotAvailableError: as `search`.
    """
    if not contents.entries:
        raise DataError(
            f"The gallery {folder} is empty.",
            problems=[Problem("gallery", str(folder), "at least one image")],
            next_step=f"python -m tao_skill gallery add --gallery {shlex.quote(str(folder))} --reference DIR",
        )
    return search(queries, contents.embeddings, k, kind=kind, index=lambda units: _index(folder, contents, units))


def rivals(contents: Contents, found: Found) -> list[list[str]]:
    """Return, for each query, the other classes that are as near as its nearest reference's: nothing tells them apart.

    They are those of references at the same distance, as far as they were found, and those under which the nearest
    image itself is there.
    """
    labels: dict[str, set[str]] = {contents.entries[row].sha256: set() for row in found.indices[:, 0].tolist()}
    for entry in contents.entries:
        if entry.sha256 in labels:
            labels[entry.sha256].add(entry.label)
    others = []
    for distances, rows in zip(found.distances.tolist(), found.indices.tolist(), strict=True):
        nearest = contents.entries[rows[0]]
        near = {contents.entries[row].label for row, one in zip(rows, distances, strict=True) if one == distances[0]}
        others.append(sorted((near | labels[nearest.sha256]) - {nearest.label}))
    return others


def _index(folder: Path, contents: Contents, units: Tensor) -> IvfIndex:
    """Return the index of this version of the gallery, from its file or built and kept there."""
    path = index_file(folder, contents.version)
    if path.is_file():
        try:
            return IvfIndex.load(path)
        except RuntimeError as error:  # faiss's only kind
            _log.warning("The index %s can't be read and is built again: %s", path, error)
    _log.info("Building an index of %d references.", len(units))
    index = IvfIndex.build(units)
    try:
        with replacing(path) as temporary:
            index.save(temporary)
    except (OSError, RuntimeError) as error:
        _log.warning("The index can't be kept in %s, so the next search builds it again: %s", folder, error)
    return index
