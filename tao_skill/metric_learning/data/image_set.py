"""A set of labelled images, and how two sets come to speak of the same classes."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["ImageSet", "image_set", "name_some", "share_classes"]


@dataclass(frozen=True)
class ImageSet:
    """Images with their classes.

    ``paths`` has ``num_images`` entries sorted by class, then path; ``labels`` is int64 ``(num_images,)``;
    ``classes[labels[i]]`` names the class of image i. ``key`` is the spec key that named the root.
    """

    root: Path
    paths: list[Path]
    labels: NDArray[np.int64]
    classes: list[str]
    key: str = ""
    warnings: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.paths)

    def images_per_class(self) -> NDArray[np.int64]:
        """Return the number of images of each class, ``(num_classes,)``."""
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)

    def without(self, bad: Container[Path]) -> ImageSet:
        """Return the set without those images and without the classes that then have none."""
        kept = [i for i, path in enumerate(self.paths) if path not in bad]
        named = [(self.classes[self.labels[i]], self.paths[i]) for i in kept]
        return image_set(self.root, self.key, named, self.warnings)


def image_set(root: Path, key: str, named: Iterable[tuple[str, Path]], warnings: Sequence[str] = ()) -> ImageSet:
    """Make a set of (class name, path) pairs in any order."""
    pairs = sorted(named)
    classes = sorted({name for name, _ in pairs})
    position = {name: i for i, name in enumerate(classes)}
    labels = np.array([position[name] for name, _ in pairs], dtype=np.int64)
    return ImageSet(root, [path for _, path in pairs], labels, classes, key, list(warnings))


def share_classes(reference: ImageSet, query: ImageSet) -> tuple[ImageSet, ImageSet]:
    """Give both sets one list of class names, matched by name: the reference's labels stay, query-only classes follow.

    So ``label < number of reference classes`` says that the reference knows the class.
    """
    only_query = sorted(set(query.classes) - set(reference.classes))
    classes = [*reference.classes, *only_query]
    position = {name: i for i, name in enumerate(classes)}
    moved = np.array([position[name] for name in query.classes], dtype=np.int64)
    labels = moved[query.labels] if len(query) else query.labels
    return replace(reference, classes=classes), replace(query, classes=classes, labels=labels)


def name_some(names: Iterable[object], limit: int = 20) -> str:
    """Return the first names and how many more there are."""
    listed = [str(name) for name in names]
    more = len(listed) - limit
    return ", ".join(listed[:limit]) + (f" and {more} more" if more > 0 else "")
