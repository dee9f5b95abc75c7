"""The names of a gallery's files: what has another name in its folder is somebody else's, and is never touched."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

__all__ = ["LOCK", "MANIFEST", "embeddings_file", "entries_file", "index_file", "remove_gallery", "remove_old"]

MANIFEST = "gallery.json"
LOCK = ".gallery.lock"
_VERSION = "[0-9a-f]{12}"
_VERSIONED = rf"(?:embeddings-{_VERSION}\.npy|entries-{_VERSION}\.jsonl|index-{_VERSION}\.faiss)"
_OWN = re.compile(rf"{_VERSIONED}|\.(?:{_VERSIONED}|{re.escape(MANIFEST)})\.[0-9]+\.tmp")
"""Files of one version, whole or half written by a process of that number."""


def embeddings_file(folder: Path, version: str) -> Path:
    """Return where a version, 12 hexadecimal digits, has its unit vectors."""
    return folder / f"embeddings-{version}.npy"


def entries_file(folder: Path, version: str) -> Path:
    """Return where a version has its entries."""
    return folder / f"entries-{version}.jsonl"


def index_file(folder: Path, version: str) -> Path:
    """Return where a version keeps its index, if it has one."""
    return folder / f"index-{version}.faiss"


def remove_old(folder: Path, version: str) -> None:
    """Remove a gallery's files of other versions than this, and what a killed process left half written."""
    for path in list(folder.iterdir()):
        if _OWN.fullmatch(path.name) and f"-{version}." not in path.name:
            with suppress(OSError):
                path.unlink()


def remove_gallery(folder: Path) -> None:
    """Remove a gallery if there is one, and its folder if nothing else is in it."""
    if folder.is_dir():
        own = [path for path in folder.iterdir() if _OWN.fullmatch(path.name)]
        for path in (folder / MANIFEST, *own, folder / LOCK):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()
