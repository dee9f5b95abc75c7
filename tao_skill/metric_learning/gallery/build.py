"""Build a gallery aside, and put it in its place once it is whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tao_skill.errors import DataError, Problem, StorageError, UsageError
from tao_skill.metric_learning.engines.embedder import Embedder
from tao_skill.metric_learning.gallery.add import Added, Labelled, add_entries, entries_of
from tao_skill.metric_learning.gallery.own_files import remove_gallery
from tao_skill.metric_learning.gallery.store import (
    Contents,
    Entry,
    ModelOfGallery,
    cannot_write,
    change_gallery,
    find_gallery,
    read_gallery,
)

__all__ = ["ASIDE", "build_gallery", "refuse_existing"]

ASIDE = ".building"
"""Folder inside the gallery's where what is embedded is kept until the new gallery is whole: a gallery itself."""

_LOCK = ".building.lock"


def build_gallery(
    folder: Path,
    images: Sequence[Labelled],
    embedder: Embedder,
    model: ModelOfGallery,
    *,
    batch_size: int,
    workers: int,
    overwrite: bool = False,
) -> Added:
    """Make a gallery of these images and of no others.

    A gallery that is there serves until the new one is whole. If this is killed, building again goes on from what was
    embedded with the same model, whichever images are asked for then.

    Args:
        folder: The gallery's folder, which is made if it isn't there.
        images: Class names and files, which decode.
        embedder: The gallery's model.
        model: What the gallery says of it.
        batch_size: Images embedded at once.
        workers: Processes that load images.
        overwrite: Replace what is there, also another model's gallery or a damaged one.

    Raises:
        UsageError: there is a gallery, and ``overwrite`` isn't set.
        StorageError: the folder can't be written, or another process is building there.
    """
    aside = folder / ASIDE
    with _alone(folder):
        if not overwrite:
            refuse_existing(folder)
        if not _is_of(aside, model):
            remove_gallery(aside)
        entries = entries_of(images, workers)
        done = add_entries(aside, entries, embedder, model, batch_size=batch_size, workers=workers)
        contents = change_gallery(folder, lambda _: _only(entries, model, done.contents), forget=True)
        remove_gallery(aside)
    assert contents is not None  # the change returned some
    return Added(len(entries), 0, done.embedded, contents)


def refuse_existing(folder: Path) -> None:
    """Refuse to build where a gallery is.

    Raises:
        UsageError: there is one.
    """
    if find_gallery(folder):
        raise UsageError(
            f"There is a gallery in {folder} already.",
            problems=[Problem("--gallery", str(folder), "a new folder")],
            next_step="python -m tao_skill gallery add, or build with --overwrite to forget what is there",
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let no other process build in the folder."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise StorageError(
            f"Another process is building the gallery {folder}.",
            problems=[Problem("--gallery", str(folder), "a folder in which nobody builds")],
            next_step="wait until it is done, or use another folder",
        ) from error
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def _is_of(aside: Path, model: ModelOfGallery) -> bool:
    try:
        return read_gallery(aside).model.fingerprint == model.fingerprint
    except DataError:
        return False


def _only(entries: Sequence[Entry], model: ModelOfGallery, contents: Contents) -> Contents:
    """Return contents of these entries, which all have a vector, without what an earlier build left beside them."""
    place = {entry.sha256: number for number, entry in enumerate(contents.entries)}
    rows = [place[entry.sha256] for entry in entries]
    vectors = contents.embeddings[rows] if rows else np.empty((0, model.embed_dim), np.float32)
    return Contents.of(model, list(entries), vectors)
