"""Add images to a gallery, embedding only what it doesn't know yet."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
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

__all__ = ["Added", "Labelled", "add_images"]

Labelled = tuple[str, Path]
"""The class name of an image, and its file."""

SECONDS_BETWEEN_SAVES = 60.0
_CHUNK = 512
"""Images that are embedded at a time; what is embedded is kept every minute, so that a killed run loses little."""

_log = logging.getLogger(__name__)


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
    source: str,
    *,
    batch_size: int,
    workers: int,
    overwrite: bool = False,
) -> Added:
    """Add images to the gallery in a folder, which is made if it isn't there.

    An image is known if a file with the same bytes is there under the same label. Bytes that are there under another
    label aren't embedded again either. The gallery may be read, and changed by others, all the while.

    Args:
        folder: The gallery's folder.
        images: Class names and files, which decode.
        embedder: The gallery's model.
        source: The model's file.
        batch_size: Images embedded at once.
        workers: Processes that load images.
        overwrite: Forget what is there, also another model's gallery.

    Raises:
        DataError: the gallery was built with another model, or is damaged.
        StorageError: the folder can't be written.
    """
    facts = embedder.facts
    model = ModelOfGallery(
        facts.fingerprint, embedder.embed_dim, source, dict(facts.recognition.get("rejection") or {})
    )
    old = read_gallery(folder) if find_gallery(folder) and not overwrite else None
    if old is not None:
        old.check_model(model.fingerprint, folder, "--gallery")
    entries = _entries(images, workers)
    there = {(entry.label, entry.sha256) for entry in old.entries} if old is not None else set()
    new = [entry for entry in entries if (entry.label, entry.sha256) not in there]
    vectors = {} if old is None else _vectors_of(old, {entry.sha256 for entry in new})
    waiting = list({entry.sha256: entry for entry in new if entry.sha256 not in vectors}.values())
    _log.info("%d images: %d are in the gallery, %d to embed.", len(entries), len(entries) - len(new), len(waiting))
    contents, saved = old, time.monotonic()
    for found in _embedded(waiting, embedder, batch_size, workers):
        vectors |= found
        if time.monotonic() - saved >= SECONDS_BETWEEN_SAVES:
            contents = _save(folder, model, new, vectors, replace=overwrite)
            overwrite, saved = False, time.monotonic()
    if new or contents is None:
        contents = _save(folder, model, new, vectors, replace=overwrite)
    assert contents is not None
    return Added(len(new), len(entries) - len(new), len(waiting), contents)


def _embedded(
    entries: Sequence[Entry], embedder: Embedder, batch_size: int, workers: int
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Embed entries a chunk at a time, and return each chunk's unit vectors by SHA-256."""
    for start in range(0, len(entries), _CHUNK):
        part = entries[start : start + _CHUNK]
        found = embed_images(embedder, [Path(entry.path) for entry in part], batch_size=batch_size, workers=workers)
        yield {entry.sha256: unit for entry, unit in zip(part, unit_rows(found, "embeddings").numpy(), strict=True)}


def _entries(images: Sequence[Labelled], workers: int) -> list[Entry]:
    """Return the entries of images, each label and content once."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        digests = pool.map(lambda one: sha256_of(one[1]), images)
        entries = [
            Entry(label, str(path.absolute()), digest) for (label, path), digest in zip(images, digests, strict=True)
        ]
    return list({(entry.label, entry.sha256): entry for entry in reversed(entries)}.values())[::-1]


def _vectors_of(contents: Contents, wanted: set[str]) -> dict[str, NDArray[np.float32]]:
    return {
        entry.sha256: contents.embeddings[place]
        for place, entry in enumerate(contents.entries)
        if entry.sha256 in wanted
    }


def _save(
    folder: Path,
    model: ModelOfGallery,
    entries: Sequence[Entry],
    vectors: dict[str, NDArray[np.float32]],
    *,
    replace: bool,
) -> Contents | None:
    """Put those entries that have a vector into the gallery, beside what others have put there in the meantime."""

    def change(old: Contents | None) -> Contents:
        if old is not None:
            old.check_model(model.fingerprint, folder, "--gallery")
        there = {(entry.label, entry.sha256) for entry in old.entries} if old is not None else set()
        ready = [entry for entry in entries if entry.sha256 in vectors and (entry.label, entry.sha256) not in there]
        added = np.array([vectors[entry.sha256] for entry in ready], dtype=np.float32).reshape(-1, model.embed_dim)
        if old is None:
            return Contents.of(model, ready, added)
        return Contents.of(old.model, [*old.entries, *ready], np.concatenate([old.embeddings, added]))

    return change_gallery(folder, change, forget=replace)
