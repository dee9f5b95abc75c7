"""Compare what came with what the server stated."""

import hashlib
import zlib
from pathlib import Path
from typing import Protocol

from tao_skill.storage.objects import Checksum

__all__ = ["Sum", "crc32", "length_and_crc", "sum_for"]

_PIECE = 1024 * 1024


class Sum(Protocol):
    """A sum over bytes that come in order."""

    def update(self, data: bytes | memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        self._value = crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


class _Parts:
    """The ETag of a multipart upload: the MD5 of the MD5 sums of its parts."""

    def __init__(self, part_bytes: int) -> None:
        self._size, self._left = part_bytes, part_bytes
        self._part = hashlib.md5(usedforsecurity=False)
        self._all = hashlib.md5(usedforsecurity=False)
        self._count = 0

    def update(self, data: bytes | memoryview, /) -> None:
        view = memoryview(data)
        while view:
            piece = view[: self._left]
            self._part.update(piece)
            self._left -= len(piece)
            view = view[len(piece) :]
            if self._left == 0:
                self._close()

    def hexdigest(self) -> str:
        if self._left < self._size:
            self._close()
        return f"{self._all.hexdigest()}-{self._count}"

    def _close(self) -> None:
        self._all.update(self._part.digest())
        self._part = hashlib.md5(usedforsecurity=False)
        self._left = self._size
        self._count += 1


def sum_for(checksum: Checksum | None) -> Sum | None:
    """Return what computes the sum that the server stated; None where it can't be computed here."""
    if checksum is None:
        return None
    if checksum.algorithm == "sha256":
        return hashlib.sha256()
    if checksum.algorithm in ("md5", "md5?"):
        return hashlib.md5(usedforsecurity=False)
    if checksum.algorithm == "crc32":
        return _Crc32()
    return _Parts(checksum.part_bytes) if checksum.part_bytes else None


def crc32(data: bytes | memoryview, value: int = 0) -> int:
    """Return the CRC-32 of ``data`` after what gave ``value``; isal's is several times as fast, where it is there."""
    return _crc32(data, value)


def length_and_crc(path: Path) -> tuple[int, int]:
    """Return the number of a file's bytes, and their CRC-32; raises OSError."""
    total, length = 0, 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            total, length = crc32(piece, total), length + len(piece)
    return length, total


try:
    from isal.isal_zlib import crc32 as _crc32
except ModuleNotFoundError:
    _crc32 = zlib.crc32
