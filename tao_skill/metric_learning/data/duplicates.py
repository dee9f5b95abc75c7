"""Find images that are there twice: equal files by their hash, near-duplicates by how alike their thumbnails are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tao_skill.metric_learning.data.fingerprints import THUMBNAIL, FileFacts

__all__ = ["NearPair", "equal_files", "near_duplicates"]

ALIKE = 0.98
"""Correlation of two 16 x 16 colour thumbnails from which on they count as the same picture. Saved again as JPEG
(quality 20 and more) or scaled, a picture keeps at least so much in 99 of 100 cases; different photographs of the same
thing stay below 0.93, measured on pictures of small things on busy backgrounds."""

_COARSE = 0.95
"""Correlation of 8 x 8 luma thumbnails below which the colour thumbnails aren't compared."""

_CANDIDATES = 4096
"""Pairs whose colour thumbnails are compared at a time."""

_BLOCK_BYTES = 32 * 2**20
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class NearPair:
    """Two files that show the same picture; ``likeness`` is the correlation of their thumbnails, 1 is equal."""

    first: Path
    second: Path
    likeness: float


def equal_files(facts: Iterable[FileFacts]) -> list[list[FileFacts]]:
    """Return groups of at least two files with the same bytes, each file once, in the order given."""
    groups: dict[str, dict[Path, FileFacts]] = defaultdict(dict)
    for one in facts:
        if one.sha256:
            groups[one.sha256].setdefault(one.path, one)
    return [list(group.values()) for group in groups.values() if len(group) > 1]


def near_duplicates(first: Sequence[FileFacts], second: Sequence[FileFacts]) -> list[NearPair]:
    """Return pairs of one file of each list that show the same picture but aren't the same file, most alike first.

    Every pair is compared, in blocks of bounded memory. Pictures of one colour are left out: they have nothing that
    could be alike.
    """
    left, right = _Thumbnails.of(first), _Thumbnails.of(second)
    pairs: list[NearPair] = []
    if not len(left) or not len(right):
        return pairs
    rows = max(1, _BLOCK_BYTES // (4 * len(right)))
    for start in range(0, len(left), rows):
        alike = left.coarse[start : start + rows] @ right.coarse.T >= _COARSE
        candidates = np.argwhere(alike) + np.array([start, 0])
        for begin in range(0, len(candidates), _CANDIDATES):
            pairs += _alike(left, right, candidates[begin : begin + _CANDIDATES])
    return sorted(pairs, key=lambda pair: -pair.likeness)


def _alike(left: _Thumbnails, right: _Thumbnails, candidates: NDArray[np.int64]) -> list[NearPair]:
    mine, theirs = candidates[:, 0], candidates[:, 1]
    likeness = np.einsum("ij,ij->i", left.fine(mine), right.fine(theirs))
    pairs = []
    for place in np.flatnonzero(likeness >= ALIKE):
        one, other = left.facts[mine[place]], right.facts[theirs[place]]
        if one.sha256 != other.sha256:
            pairs.append(NearPair(one.path, other.path, round(min(1.0, float(likeness[place])), 4)))
    return pairs


@dataclass(frozen=True)
class _Thumbnails:
    """Thumbnails of files that have some structure: ``coarse`` are unit vectors ``(num_files, 64)``."""

    facts: list[FileFacts]
    pixels: NDArray[np.uint8]
    coarse: NDArray[np.float32]

    @classmethod
    def of(cls, facts: Sequence[FileFacts]) -> _Thumbnails:
        kept = [one for one in facts if one.thumbnail is not None and np.ptp(one.thumbnail, axis=(0, 1)).any()]
        pixels = np.stack([one.thumbnail for one in kept if one.thumbnail is not None]) if kept else _NONE
        half = THUMBNAIL // 2
        coarse = np.empty((len(kept), half * half), dtype=np.float32)
        for start in range(0, len(kept), 4096):
            luma = pixels[start : start + 4096] @ _LUMA
            means = luma.reshape(-1, half, 2, half, 2).mean(axis=(2, 4))
            coarse[start : start + 4096] = _centred(means.reshape(len(luma), -1))
        return cls(kept, pixels, coarse)

    def __len__(self) -> int:
        return len(self.facts)

    def fine(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the colour thumbnails at some places as unit vectors ``(len(places), 768)``."""
        colours = self.pixels[places].astype(np.float32).reshape(len(places), -1, 3)
        return _centred(colours - colours.mean(axis=1, keepdims=True)).reshape(len(places), -1)


_NONE = np.empty((0, THUMBNAIL, THUMBNAIL, 3), dtype=np.uint8)


def _centred(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows of mean 0 and length 1; rows without any structure become 0."""
    flat = values.reshape(len(values), -1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    out: NDArray[np.float32] = np.zeros_like(centred)
    np.divide(centred, lengths, out=out, where=lengths > 1e-3)
    return out
