"""Where decoded images come from: the files themselves, or a cache that remembers what was decoded."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import PIL
import simplejpeg
from numpy.typing import NDArray

from tao_skill.config.cache_folder import cache_directory
from tao_skill.errors import StorageError
from tao_skill.metric_learning.data.decode import decode_image
from tao_skill.metric_learning.data.file_state import FileState, file_state
from tao_skill.metric_learning.data.pack import Pack
from tao_skill.metric_learning.data.pack_file import can_lock
from tao_skill.metric_learning.data.pack_folder import PackFolder
from tao_skill.metric_learning.data.pack_format import FOLDER

__all__ = ["DecodedCache", "Files", "PixelSource", "decoded_once"]

Image8 = NDArray[np.uint8]
log = logging.getLogger(__name__)

_DECODING = 2  # changes whenever the same file is decoded to other pixels


class PixelSource(Protocol):
    """Gives decoded images by path."""

    def read(self, path: Path, channels: int, /) -> Image8:
        """Return the pixels, (height, width, channels).

        Raises:
            DataError: the file can't be decoded.
        """


@contextmanager
def decoded_once(sets: Sequence[Sequence[Path]], channels: int, gigabytes: float) -> Iterator[PixelSource]:
    """Give the source of the images of some sets, which remembers up to so many gigabytes in the cache folder."""
    try:
        folder = cache_directory() / FOLDER
    except StorageError as error:
        log.warning("Decoded images can't be kept (%s): they are decoded each time.", error)
        yield Files()
        return
    cache = DecodedCache(folder, int(gigabytes * 1e9), channels)
    try:
        for paths in sets:
            cache.expect(paths)
        yield cache
    finally:
        cache.close()


class Files:
    """Decodes a file each time it is asked for."""

    def read(self, path: Path, channels: int) -> Image8:
        """Decode the file."""
        return decode_image(path, channels)


class DecodedCache:
    """Decodes a file once, for all epochs and for all trainings on this machine that see the same data.

    Each set of files that is expected has a pack in the folder, named after the files as they are (`file_state`) and
    the versions of the decoders. All packs together take at most ``limit`` bytes; what finds no room, or can't be
    written or read, is decoded each time.
    """

    def __init__(self, folder: Path, limit: int, channels: int) -> None:
        self._folder, self._channels = folder, channels
        self._packs = PackFolder(folder, limit)
        self._places: dict[Path, tuple[Pack, int]] = {}
        self._full = limit <= 0 or not can_lock()

    def expect(self, paths: Sequence[Path]) -> None:
        """Open the pack of these files, or begin one; without a folder to write, files are decoded each time."""
        new = [path for path in paths if path not in self._places]
        try:
            states = [file_state(path) for path in new]
        except OSError:  # a link to nothing, say
            return
        if self._full or not states:
            return
        try:
            pack = self._packs.open(self._key(states), len(new), self._channels)
        except OSError as error:
            self._give_up(error)
            return
        self._places.update({path: (pack, number) for number, path in enumerate(new)})

    def read(self, path: Path, channels: int) -> Image8:
        """Return the remembered pixels, or decode the file and remember them."""
        pack, number = self._places.get(path, (None, 0)) if channels == self._channels else (None, 0)
        image = self._recall(pack, number) if pack is not None else None
        if image is not None:
            return image
        image = decode_image(path, channels)
        if pack is not None and not self._full:
            self._keep(pack, number, image)
        return image

    def close(self) -> None:
        """Let go of the packs."""
        self._packs.close()
        self._places, self._full = {}, True

    def _key(self, states: list[FileState]) -> str:
        decoders = [_DECODING, PIL.__version__, simplejpeg.__version__, self._channels]
        return hashlib.sha256(json.dumps([decoders, states]).encode()).hexdigest()[:32]

    def _recall(self, pack: Pack, number: int) -> Image8 | None:
        try:
            return pack.get(number)
        except OSError as error:
            self._places = {}
            self._give_up(error)
            return None

    def _keep(self, pack: Pack, number: int, image: Image8) -> None:
        try:
            kept = self._packs.keep(pack, number, image)
        except OSError as error:
            self._give_up(error)
            return
        if not kept and not self._full:
            self._full = True
            log.info("The cache of decoded images is full, in %s; other images are decoded each time.", self._folder)

    def _give_up(self, error: OSError) -> None:
        if not self._full:
            log.warning("Decoded images can't be kept in %s (%s): they are decoded each time.", self._folder, error)
        self._full = True
