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
import zlib
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tao_skill.metric_learning.data.pack_file import Held
from tao_skill.metric_learning.data.pack_format import ENTRY, FIRST, PLACE, SUM, Header

__all__ = ["Pack"]

Image8 = NDArray[np.uint8]

_ATTEMPTS = 100


class Pack:
    """One file of decoded images, numbered from 0; ``channels`` is that of all of them."""

    def __init__(self, path: Path, count: int, channels: int) -> None:
        """Open the file, or make it where it is missing.

        Raises:
            OSError: it can't be read or written.
        """
        self.path = path
        self._known: dict[int, tuple[int, int, int]] = {}
        wanted = Header(count, channels, _boot_id())
        with ExitStack() as opened:
            self._held, self._header = self._open(wanted)
            opened.callback(self._held.close)
            self._file = self._held.file
            self._doubted = self._header.boot != wanted.boot or not wanted.boot
            self._map = mmap.mmap(self._file, 0, access=mmap.ACCESS_COPY)
            opened.pop_all()

    def close(self) -> None:
        """Let go of the file; images that were read stay readable."""
        self._held.close()

    def is_at_its_path(self) -> bool:
        """Tell whether the next process that opens the path gets this pack."""
        return self._held.is_at_its_path()

    @property
    def bytes(self) -> int:
        """Return the length of the file."""
        return self._held.bytes

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
        with self._held.exclusively():
            offset = max(self.bytes, self._header.pixels_at)
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

    def _open(self, wanted: Header) -> tuple[Held, Header]:
        """Open the file until it is one that all can use; return it with its header."""
        for _ in range(_ATTEMPTS):
            with ExitStack() as opened:
                held = Held(self.path)
                opened.callback(held.close)
                found = self._begin(held, wanted)
                if found is not None:
                    opened.pop_all()
                    return held, found
        raise OSError(f"{self.path} is replaced all the time")

    def _begin(self, held: Held, wanted: Header) -> Header | None:
        """Return the file's header, that of a new file is written; None where the path must be opened again.

        A file that is no pack of these images is replaced, never cut: others may have mapped it.
        """
        with held.exclusively():
            if not held.is_at_its_path():
                return None
            header = Header.read(os.pread(held.file, FIRST, 0))
            if header is not None and header.is_for(wanted) and held.bytes >= wanted.pixels_at:
                return header
            if held.bytes > 0:
                self.path.unlink()
                return None
            try:
                os.ftruncate(held.file, wanted.pixels_at)
                _write(held.file, memoryview(wanted.packed()), 0)
            except OSError:
                self.path.unlink()
                raise
        return wanted

    def _look_up(self, number: int) -> tuple[int, int, int] | None:
        entry = os.pread(self._file, ENTRY, FIRST + number * ENTRY)
        (total,) = SUM.unpack(entry[PLACE.size :])
        offset, height, width = PLACE.unpack(entry[: PLACE.size])
        if total == 0 or not self._header.allows(offset, height, width, self.bytes):
            return None
        if self._doubted and _checksum(self._view(offset, height, width)) != total:
            return None
        return offset, height, width

    def _view(self, offset: int, height: int, width: int) -> Image8:
        length = height * width * self._header.channels
        mapped = self._map
        if offset + length > len(mapped):
            # Kept by a name of its own: another thread may put a shorter one, which it made before, in its place.
            mapped = self._map = mmap.mmap(self._file, 0, access=mmap.ACCESS_COPY)
        return np.frombuffer(mapped, np.uint8, length, offset).reshape(height, width, self._header.channels)


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
