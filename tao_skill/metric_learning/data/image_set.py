"""A set of labelled images, and how two sets come to speak of the same classes.

NumPy is loaded when the labels are asked for: to plan a run only names are compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ImageSet", "image_set", "name_some", "share_classes"]


@dataclass(frozen=True)
class ImageSet:
    """Images with their classes.

    ``paths`` has ``num_images`` entries sorted by class, then path; ``classes[positions[i]]`` names the class of image
    i. ``key`` is the spec key that named the root.
    """

    root: Path
    paths: list[Path]
    positions: list[int]
    classes: list[str]
    key: str = ""
    warnings: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Return the positions of the images' classes, int64 ``(num_images,)``."""
        import numpy as np

        return np.array(self.positions, dtype=np.int64)

    def names(self) -> list[str]:
        """Return the class name of each image."""
        return [self.classes[position] for position in self.positions]

    def images_per_class(self) -> list[int]:
        """Return the number of images of each class."""
        counts = Counter(self.positions)
        return [counts[position] for position in range(len(self.classes))]

    def without(self, bad: Container[Path]) -> ImageSet:
        """Return the set without those images and without the classes that then have none."""
        kept = [i for i, path in enumerate(self.paths) if path not in bad]
        named = [(self.classes[self.positions[i]], self.paths[i]) for i in kept]
        return image_set(self.root, self.key, named, self.warnings)


def image_set(root: Path, key: str, named: Iterable[tuple[str, Path]], warnings: Sequence[str] = ()) -> ImageSet:
    """Make a set of (class name, path) pairs in any order."""
    pairs = sorted(named)
    classes = sorted({name for name, _ in pairs})
    position = {name: i for i, name in enumerate(classes)}
    positions = [position[name] for name, _ in pairs]
    return ImageSet(root, [path for _, path in pairs], positions, classes, key, list(warnings))


def share_classes(reference: ImageSet, query: ImageSet) -> tuple[ImageSet, ImageSet]:
    """Give both sets one list of class names, matched by name: the reference's labels stay, query-only classes follow.

    So ``label < number of reference classes`` says that the reference knows the class.
    """
    only_query = sorted(set(query.classes) - set(reference.classes))
    classes = [*reference.classes, *only_query]
    position = {name: i for i, name in enumerate(classes)}
    moved = [position[name] for name in query.classes]
    positions = [moved[old] for old in query.positions]
    return replace(reference, classes=classes), replace(query, classes=classes, positions=positions)


def name_some(names: Iterable[object], limit: int = 20) -> str:
    """Return the first names and how many more there are."""
    listed = [str(name) for name in names]
    more = len(listed) - limit
    return ", ".join(listed[:limit]) + (f" and {more} more" if more > 0 else "")
