"""Decoded images of one data set in one file, which any number of processes read and fill at the same time.

::

    "TAOPIX02", count, channels, boot id    64 bytes
    offset, height, width, checksum         one entry of 24 bytes for each image; an empty one has checksum 0
    pixels, pixels, …                       in the order in which they were decoded

Space is given out under a lock, pixels are written, and the checksum comes last: what a killed process leaves is an
entry that counts as empty. Pages that were not on disk when the machine went down are another matter, so in a file
from before the last start of the machine each image is compared with its checksum when it is first read.
"""

from __future__ import annotations

import mmap
import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tao_skill.metric_learning.data.pack_format import ENTRY, FIRST, PLACE, SUM, Header

fcntl: Any = None
with suppress(ImportError):  # Windows has none
    import fcntl

__all__ = ["Pack", "can_lock"]

Image8 = NDArray[np.uint8]

_PAGE = 4096


def can_lock() -> bool:
    """Tell whether this system has the locks that a pack needs."""
    return fcntl is not None


class Pack:
    """One file of decoded images, numbered from 0; ``channels`` is that of all of them."""

    def __init__(self, path: Path, count: int, channels: int) -> None:
        """Open the file, or make it where it is missing.

        Raises:
            OSError: it can't be read or written.
        """
        self.path, self._count, self._channels = path, count, channels
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            # Says "in use" to whoever would remove the file; the system lets go of it when the process ends.
            fcntl.flock(self._file, fcntl.LOCK_SH)
            self._turn = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
            os.utime(self._file)
        except OSError:
            os.close(self._file)
            raise
        self._threads = threading.Lock()
        self._data = -(-(FIRST + count * ENTRY) // _PAGE) * _PAGE
        self._known: dict[int, tuple[int, int, int]] = {}
        self._doubted = self._begin()
        self._map = mmap.mmap(self._file, 0, access=mmap.ACCESS_COPY)

    def close(self) -> None:
        """Let go of the file; images that were read stay readable."""
        fcntl.flock(self._file, fcntl.LOCK_UN)  # the mapping keeps a copy of the descriptor
        os.close(self._file)
        os.close(self._turn)

    @property
    def bytes(self) -> int:
        """Return the length of the file."""
        return os.fstat(self._file).st_size

    def get(self, number: int) -> Image8 | None:
        """Return an image as a view of the file, (height, width, channels), or None where there is none yet."""
        place = self._known.get(number)
        if place is None:
            place = self._look_up(number)
            if place is None:
                return None
            self._known[number] = place
        offset, height, width = place
        return self._view(offset, height, width)

    def put(self, number: int, image: Image8, limit: int) -> bool:
        """Keep an image, unless the file would then be larger than ``limit`` bytes.

        Raises:
            OSError: the disk is full.
        """
        length = image.nbytes
        with self._exclusively():
            offset = max(os.fstat(self._file).st_size, self._data)
            if offset + length > limit:
                return False
            os.ftruncate(self._file, offset + length)
        pixels = np.ascontiguousarray(image)
        height, width, _ = image.shape
        entry = FIRST + number * ENTRY
        _write(self._file, pixels.data.cast("B"), offset)
        _write(self._file, memoryview(PLACE.pack(offset, height, width)), entry)
        _write(self._file, memoryview(SUM.pack(_checksum(pixels))), entry + PLACE.size)
        return True

    def _begin(self) -> bool:
        """Write the header of a new file; return whether the file is from before the machine's last start."""
        wanted = Header(self._count, self._channels, _boot_id())
        with self._exclusively():
            header = Header.read(os.pread(self._file, FIRST, 0))
            if header is None:
                os.ftruncate(self._file, 0)
                os.ftruncate(self._file, self._data)
                _write(self._file, memoryview(wanted.packed()), 0)
                return False
        return header.boot != wanted.boot

    def _look_up(self, number: int) -> tuple[int, int, int] | None:
        entry = os.pread(self._file, ENTRY, FIRST + number * ENTRY)
        (total,) = SUM.unpack(entry[PLACE.size :])
        offset, height, width = PLACE.unpack(entry[: PLACE.size])
        if total == 0 or height <= 0 or width <= 0 or offset + height * width * self._channels > self.bytes:
            return None
        if self._doubted and _checksum(self._view(offset, height, width)) != total:
            return None
        return offset, height, width

    def _view(self, offset: int, height: int, width: int) -> Image8:
        if offset + height * width * self._channels > len(self._map):
            self._map = mmap.mmap(self._file, 0, access=mmap.ACCESS_COPY)
        view = np.frombuffer(self._map, np.uint8, height * width * self._channels, offset)
        return view.reshape(height, width, self._channels)

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        with self._threads:
            fcntl.flock(self._turn, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._turn, fcntl.LOCK_UN)


def _write(file: int, content: memoryview, offset: int) -> None:
    while content:
        written = os.pwrite(file, content, offset)
        content, offset = content[written:], offset + written


def _checksum(pixels: Image8) -> int:
    return zlib.crc32(pixels.data.cast("B")) or 1


def _boot_id() -> bytes:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    except OSError:
        return b""
