"""See from a few bytes that a file holds no weights, long before a deep-learning library is loaded to read it."""

from __future__ import annotations

import zipfile
from pathlib import Path

__all__ = ["trouble_with_weights"]

_TORCH = (".pth", ".pt", ".ckpt")
_HEAD = 512


def trouble_with_weights(file: Path) -> str:
    """Return why a file, by its name one of weights, can't be one; empty where nothing speaks against it.

    PyTorch writes zip archives, formerly pickles (which begin with 0x80) and, long ago, tar archives; a safetensors
    file begins with the length of its JSON header. Files with other names are left to whoever reads them.
    """
    suffix = file.suffix.lower()
    if suffix not in (*_TORCH, ".safetensors"):
        return ""
    with file.open("rb") as stream:
        head = stream.read(_HEAD)
    if not head:
        return "this one is empty"
    if head.startswith(b"version https://git-lfs"):
        return "this one is a Git LFS pointer: git lfs pull brings the file"
    if suffix == ".safetensors":
        return "" if head[8:9] == b"{" else "this one has no safetensors header"
    return _trouble_with_torch(file, head)


def _trouble_with_torch(file: Path, head: bytes) -> str:
    if head.startswith(b"PK"):
        return "" if zipfile.is_zipfile(file) else "this one is cut off: copy or download it again"
    known = head.startswith(b"\x80") or head[257:262] == b"ustar"
    return "" if known else "this one begins like nothing that PyTorch writes"
