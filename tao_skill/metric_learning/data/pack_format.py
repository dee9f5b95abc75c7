"""How a pack of decoded images lies on the disk; see `pack`."""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["ENTRY", "FIRST", "FOLDER", "PLACE", "SUFFIX", "SUM", "Header"]

# Of the cache folder.
FOLDER = "pixels"
SUFFIX = ".pixels"
# Where the entries begin.
FIRST = 64
PLACE, SUM = struct.Struct("<qii"), struct.Struct("<I4x")
ENTRY = PLACE.size + SUM.size
_MAGIC = b"TAOPIX02"
_NUMBERS = struct.Struct("<8sqi")
_PAGE = 4096


@dataclass(frozen=True)
class Header:
    """What a pack says of itself: images it has entries for, their channels, and the start of the machine."""

    count: int
    channels: int
    boot: bytes

    def packed(self) -> bytes:
        """Return the bytes at the beginning of the file."""
        return (_NUMBERS.pack(_MAGIC, self.count, self.channels) + self.boot).ljust(FIRST, b"\0")[:FIRST]

    @property
    def pixels_at(self) -> int:
        """Return where the pixels begin; a shorter file is none."""
        return -(-(FIRST + self.count * ENTRY) // _PAGE) * _PAGE

    def allows(self, offset: int, height: int, width: int, length: int) -> bool:
        """Tell whether pixels can lie there in a file of so many bytes."""
        is_image = height > 0 and width > 0
        return is_image and self.pixels_at <= offset <= length - height * width * self.channels

    def is_for(self, other: Header) -> bool:
        """Tell whether it is of the same images, whenever it was written."""
        return (self.count, self.channels) == (other.count, other.channels)

    @classmethod
    def read(cls, content: bytes) -> Header | None:
        """Return the header of a file's first bytes; None where it is none of this version."""
        if len(content) < FIRST or not content.startswith(_MAGIC):
            return None
        _, count, channels = _NUMBERS.unpack(content[: _NUMBERS.size])
        return cls(count, channels, content[_NUMBERS.size : FIRST].rstrip(b"\0"))
