"""Remove images from a gallery; needs no model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tao_skill.errors import Problem, UsageError
from tao_skill.metric_learning.gallery.describe import label_problems
from tao_skill.metric_learning.gallery.store import Contents, change_gallery, read_gallery

__all__ = ["remove_images"]


def remove_images(folder: Path, labels: Sequence[str] = (), files: Sequence[str] = ()) -> tuple[int, Contents]:
    """Remove all images of some labels, and single ones by path or SHA-256; return how many, and what is left.

    Raises:
        UsageError: a label or file isn't in the gallery; then nothing is removed.
        DataError: there is no gallery, or it is damaged.
    """
    before = read_gallery(folder)  # an error where there is none, before a folder is made
    count = 0

    def change(contents: Contents | None) -> Contents:
        nonlocal count
        contents = contents if contents is not None else before
        _refuse_unknown(contents, labels, files)
        gone_labels, gone_files = set(labels), set(files)
        kept = [
            place
            for place, entry in enumerate(contents.entries)
            if entry.label not in gone_labels and gone_files.isdisjoint((entry.path, entry.sha256))
        ]
        count = len(contents.entries) - len(kept)
        return Contents(contents.model, [contents.entries[place] for place in kept], contents.embeddings[kept])

    left = change_gallery(folder, change)
    assert left is not None
    return count, left


def _refuse_unknown(contents: Contents, labels: Sequence[str], files: Sequence[str]) -> None:
    known = {name for entry in contents.entries for name in (entry.path, entry.sha256)}
    problems = label_problems(labels, contents.classes())
    expected = "the path or SHA-256 of an image in the gallery"
    problems += [Problem("--image", file, expected) for file in files if file not in known]
    if problems:
        raise UsageError(
            "Nothing was removed: not all of it is in the gallery.",
            problems=problems,
            next_step="python -m tao_skill gallery list --gallery FOLDER",
        )
