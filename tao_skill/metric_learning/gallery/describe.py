"""Say what is in a gallery; needs no model."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from tao_skill.errors import Problem, UsageError
from tao_skill.metric_learning.gallery.store import Contents, read_entries, read_gallery

__all__ = ["describe_gallery", "label_problems", "list_images"]

_SHOWN = 10


def describe_gallery(folder: Path, contents: Contents | None = None) -> dict[str, Any]:
    """Return what is in a gallery, and which model it belongs to.

    Raises:
        DataError: there is no gallery, or it is damaged.
    """
    contents = contents if contents is not None else read_gallery(folder)
    shared = contents.shared_images()
    return {
        "gallery": str(folder),
        "num_images": len(contents.entries),
        "num_classes": len(contents.classes()),
        "classes": contents.classes(),
        "images_of_several_classes": {"count": len(shared), "some": shared[:_SHOWN]},
        "embed_dim": contents.model.embed_dim,
        "model": contents.model.source,
        "fingerprint": contents.model.fingerprint,
        "rejection": contents.model.rejection or None,
        "changed_at": contents.changed_at,
        "bytes": int(contents.embeddings.nbytes),
    }


def list_images(folder: Path, labels: Sequence[str], limit: int) -> dict[str, Any]:
    """Return the first ``limit`` images of a gallery, or of some of its classes, by class and path; and how many are.

    Raises:
        UsageError: a class isn't there.
        DataError: there is no gallery, or it is damaged.
    """
    entries = read_entries(folder)
    if problems := label_problems(labels, {entry.label for entry in entries}):
        raise UsageError("Not all of these classes are in the gallery.", problems=problems)
    asked = [entry for entry in entries if not labels or entry.label in labels]
    images = [{"label": one.label, "path": one.path, "sha256": one.sha256} for one in asked[:limit]]
    return {"gallery": str(folder), "num_images": len(asked), "images": images}


def label_problems(labels: Sequence[str], classes: Collection[str]) -> list[Problem]:
    """Return which labels are no classes of a gallery, each with the nearest that is."""
    problems = []
    for label in labels:
        if label not in classes:
            near = difflib.get_close_matches(label, classes, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems.append(Problem("--label", label, f"one of the gallery's {len(classes)} classes{hint}"))
    return problems
