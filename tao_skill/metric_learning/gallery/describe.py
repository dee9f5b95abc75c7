"""Say what is in a gallery; needs no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tao_skill.metric_learning.gallery.store import Contents, read_gallery

__all__ = ["describe_gallery"]

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
