"""Add images to a gallery, embedding only what it doesn't know yet."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tao_skill.metric_learning.data.fingerprints import sha256_of
from tao_skill.metric_learning.embed import embed_images
from tao_skill.metric_learning.engines.embedder import Embedder
from tao_skill.metric_learning.gallery.store import (
    Contents,
    Entry,
    ModelOfGallery,
    change_gallery,
    find_gallery,
    read_gallery,
)
from tao_skill.metric_learning.retrieval.search import unit_rows

__all__ = ["Added", "Labelled", "add_entries", "add_images", "entries_of"]

Labelled = tuple[str, Path]
"""The class name of an image, and its file."""

SECONDS_BETWEEN_SAVES = 60.0
_CHUNK = 512
"""Images that are embedded at a time; what is embedded is kept every minute, so that a killed run loses little."""

_log = logging.getLogger(__name__)
_Vectors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Added:
    """Hold what adding did: images that are new, that were there already, and how many were embedded."""

    added: int
    known: int
    embedded: int
    contents: Contents


def add_images(
    folder: Path,
    images: Sequence[Labelled],
    embedder: Embedder,
    model: ModelOfGallery,
    *,
    batch_size: int,
    workers: int,
) -> Added:
    """Add images to the gallery in a folder, which is made if it isn't there.

    An image is known if a file with the same bytes is there under the same label. Bytes that are there under another
    label aren't embedded again either. The gallery may be read, and changed by others, all the while.

    Args:
        folder: The gallery's folder.
        images: Class names and files, which decode.
        embedder: The gallery's model.
        model: What the gallery says of it.
        batch_size: Images embedded at once.
        workers: Processes that load images.

    Raises:
        DataError: the gallery was built with another model, or is damaged.
        StorageError: the folder can't be written.
    """
    return add_entries(folder, entries_of(images, workers), embedder, model, batch_size=batch_size, workers=workers)


def add_entries(
    folder: Path,
    entries: Sequence[Entry],
    embedder: Embedder,
    model: ModelOfGallery,
    *,
    batch_size: int,
    workers: int,
) -> Added:
    """Add images whose bytes were looked at, as `add_images` does."""
    old = read_gallery(folder) if find_gallery(folder) else None
    if old is not None:
        old.check_model(model.fingerprint, folder, "--gallery")
    there = {(entry.label, entry.sha256) for entry in old.entries} if old is not None else set()
    new = [entry for entry in entries if (entry.label, entry.sha256) not in there]
    vectors = {} if old is None else _vectors_of(old, {entry.sha256 for entry in new})
    waiting = list({entry.sha256: entry for entry in new if entry.sha256 not in vectors}.values())
    _log.info("%d images: %d are in the gallery, %d to embed.", len(entries), len(entries) - len(new), len(waiting))
    contents, unsaved, saved_at = old, new, time.monotonic()
    for found in _embedded(waiting, embedder, batch_size, workers):
        vectors |= found
        if time.monotonic() - saved_at >= SECONDS_BETWEEN_SAVES:
            # Each entry is handed over once: what another process removes afterwards stays removed.
            ready = [entry for entry in unsaved if entry.sha256 in vectors]
            unsaved = [entry for entry in unsaved if entry.sha256 not in vectors]
            contents, saved_at = _save(folder, model, ready, vectors), time.monotonic()
    if unsaved or contents is None:
        contents = _save(folder, model, unsaved, vectors)
    return Added(len(new), len(entries) - len(new), len(waiting), contents)


def entries_of(images: Sequence[Labelled], workers: int) -> list[Entry]:
    """Return the entries of images, each label and content once."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        digests = pool.map(lambda one: sha256_of(one[1]), images)
        entries = [
            Entry(label, str(path.absolute()), digest) for (label, path), digest in zip(images, digests, strict=True)
        ]
    return list({(entry.label, entry.sha256): entry for entry in reversed(entries)}.values())[::-1]


def _embedded(entries: Sequence[Entry], embedder: Embedder, batch_size: int, workers: int) -> Iterator[_Vectors]:
    """Embed entries a chunk at a time, and return each chunk's unit vectors by SHA-256."""
    for start in range(0, len(entries), _CHUNK):
        part = entries[start : start + _CHUNK]
        found = embed_images(embedder, [Path(entry.path) for entry in part], batch_size=batch_size, workers=workers)
        yield {entry.sha256: unit for entry, unit in zip(part, unit_rows(found, "embeddings").numpy(), strict=True)}


def _vectors_of(contents: Contents, wanted: set[str]) -> _Vectors:
    return {
        entry.sha256: contents.embeddings[place]
        for place, entry in enumerate(contents.entries)
        if entry.sha256 in wanted
    }


def _save(
    folder: Path, model: ModelOfGallery, entries: Sequence[Entry], vectors: Mapping[str, NDArray[np.float32]]
) -> Contents:
    """Put entries into the gallery, beside what others have put there in the meantime."""

    def change(old: Contents | None) -> Contents:
        if old is not None:
            old.check_model(model.fingerprint, folder, "--gallery")
        there = {(entry.label, entry.sha256) for entry in old.entries} if old is not None else set()
        ready = [entry for entry in entries if (entry.label, entry.sha256) not in there]
        added = np.array([vectors[entry.sha256] for entry in ready], dtype=np.float32).reshape(-1, model.embed_dim)
        if old is None:
            return Contents.of(model, ready, added)
        return Contents.of(old.model, [*old.entries, *ready], np.concatenate([old.embeddings, added]))

    contents = change_gallery(folder, change)
    assert contents is not None  # the change returned some
    return contents
