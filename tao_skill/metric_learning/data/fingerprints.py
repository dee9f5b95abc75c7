"""Read each image file once: does it decode, how large is it, and what makes it the same as another."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tao_skill.metric_learning.data.bad_images import Progress
from tao_skill.metric_learning.data.decode import glance

__all__ = ["THUMBNAIL", "FileFacts", "fingerprints", "sha256_of"]

THUMBNAIL = 16
"""Width and height of the thumbnails that near-duplicates are found with."""

_FILES_PER_TASK = 32


@dataclass(frozen=True)
class FileFacts:
    """What is known of one image file; ``reason`` says why it can't be decoded, and then there is no thumbnail.

    ``thumbnail`` is uint8 ``(16, 16, 3)``. ``sha256`` is empty for a file that can't be read. ``brightest`` is that of
    a glance.
    """

    path: Path
    sha256: str
    bytes: int
    width: int = 0
    height: int = 0
    format: str = ""
    thumbnail: NDArray[np.uint8] | None = None
    reason: str | None = None
    brightest: float = 1.0


def fingerprints(paths: Sequence[Path], workers: int, progress: Progress | None = None) -> list[FileFacts]:
    """Return the facts of each file, in the order given; threads do the work, which runs without Python's lock.

    Where ``progress`` raises, what has not begun is left.
    """
    tasks = [paths[start : start + _FILES_PER_TASK] for start in range(0, len(paths), _FILES_PER_TASK)]
    found: list[FileFacts] = []
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        for facts in pool.map(lambda task: [_facts(path) for path in task], tasks):
            found += facts
            if progress is not None:
                progress(len(found), len(paths))
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal digits.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _facts(path: Path) -> FileFacts:
    try:
        digest, size = sha256_of(path), path.stat().st_size
    except OSError:
        digest, size = "", 0  # the glance says why
    seen = glance(path, at_least=4 * THUMBNAIL)
    if isinstance(seen, str):
        return FileFacts(path, digest, size, reason=seen)
    image = Image.fromarray(seen.small).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    thumbnail = np.asarray(image, dtype=np.uint8)
    return FileFacts(path, digest, size, seen.width, seen.height, seen.format, thumbnail, brightest=seen.brightest)
