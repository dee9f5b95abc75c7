"""Look after the packs of decoded images in the cache: list them, check every byte, delete; needs no NumPy."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tao_skill.metric_learning.data.pack_file import remove_unused
from tao_skill.metric_learning.data.pack_format import ENTRY, FIRST, FOLDER, PLACE, SUFFIX, SUM, Header

__all__ = ["PackFile", "packs", "packs_in"]


@dataclass(frozen=True)
class PackFile:
    """One file of decoded images."""

    path: Path
    bytes: int
    used_at: float

    def images(self) -> int:
        """Return how many images it holds; 0 for a file that can't be read."""
        try:
            return sum(1 for _ in self._entries())
        except OSError:
            return 0

    def problems(self) -> list[str]:
        """Read every byte and say what is wrong; in use or not."""
        try:
            header = self._header()
            if header is None:
                return ["it is of another version, or damaged"]
            damaged = 0
            with self.path.open("rb") as file:
                for offset, height, width, total in self._entries():
                    # The length is that of now: a process that uses the file lets it grow before it adds an entry.
                    if not header.allows(offset, height, width, os.fstat(file.fileno()).st_size):
                        damaged += 1
                        continue
                    pixels = os.pread(file.fileno(), height * width * header.channels, offset)
                    damaged += (zlib.crc32(pixels) or 1) != total
        except OSError as error:
            return [f"it can't be read: {error.strerror or error}"]
        return [f"{damaged} of its images have changed"] if damaged else []

    def remove(self) -> bool:
        """Delete it, unless a process uses it."""
        return remove_unused(self.path)

    def _header(self) -> Header | None:
        with self.path.open("rb") as file:
            return Header.read(file.read(FIRST))

    def _entries(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield offset, height, width and checksum of each image that is there."""
        header = self._header()
        if header is None:
            return
        with self.path.open("rb") as file:
            file.seek(FIRST)
            for _ in range(header.count):
                entry = file.read(ENTRY)
                if len(entry) < ENTRY:
                    return
                (total,) = SUM.unpack(entry[PLACE.size :])
                if total:
                    yield (*PLACE.unpack(entry[: PLACE.size]), total)


def packs(cache: Path) -> list[PackFile]:
    """Return the packs in the cache folder, the longest unused first."""
    return packs_in(cache / FOLDER)


def packs_in(folder: Path) -> list[PackFile]:
    """Return the packs in their folder, the longest unused first."""
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        with suppress(OSError):  # another process removed it
            facts = path.stat()
            found.append(PackFile(path, facts.st_size, facts.st_mtime))
    return sorted(found, key=lambda pack: pack.used_at)
