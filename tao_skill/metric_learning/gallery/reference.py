"""A gallery in the place of a reference set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tao_skill.config.placeholder import is_given
from tao_skill.metric_learning.data.image_set import ImageSet
from tao_skill.metric_learning.gallery.store import Contents, Entry, read_entries, read_gallery

__all__ = ["OpenGallery", "entries_as_set", "gallery_as_set", "open_gallery"]


@dataclass(frozen=True)
class OpenGallery:
    """A gallery that serves as the reference: one version of its contents, and the same as a set of images."""

    folder: Path
    contents: Contents
    images: ImageSet

    def digests(self) -> dict[Path, str]:
        """Return the SHA-256 that each image had when it was embedded."""
        return {Path(entry.path): entry.sha256 for entry in self.contents.entries}


def open_gallery(folder: str | None, fingerprint: str, key: str) -> OpenGallery | None:
    """Return the gallery that a setting names, or None where it names none.

    Raises:
        DataError: there is no gallery, it is damaged, or another model's; ``key`` names the setting.
    """
    if folder is None or not is_given(folder):
        return None
    contents = read_gallery(Path(folder), key)
    contents.check_model(fingerprint, Path(folder), key)
    return OpenGallery(Path(folder), contents, entries_as_set(Path(folder), contents.entries, key))


def gallery_as_set(folder: str | Path, key: str) -> ImageSet:
    """Return a gallery's images as a labelled set; embeddings aren't read, and the images may be gone.

    Raises:
        DataError: there is no gallery, or it is damaged; ``key`` names the setting.
    """
    return entries_as_set(Path(folder), read_entries(Path(folder), key), key)


def entries_as_set(folder: Path, entries: Sequence[Entry], key: str) -> ImageSet:
    """Return entries as a labelled set, in their order."""
    names = sorted({entry.label for entry in entries})
    place = {name: number for number, name in enumerate(names)}
    positions = [place[entry.label] for entry in entries]
    return ImageSet(folder, [Path(entry.path) for entry in entries], positions, names, key)
