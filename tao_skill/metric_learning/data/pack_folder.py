"""Fill packs of decoded images in a folder that other processes fill too, within what all of them may take."""

from __future__ import annotations

import errno
import logging
import shutil
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tao_skill.metric_learning.data.pack import Pack
from tao_skill.metric_learning.data.pack_care import packs_in
from tao_skill.metric_learning.data.pack_format import SUFFIX

__all__ = ["PackFolder"]

log = logging.getLogger(__name__)

_LOOK_AGAIN = 256 * 10**6  # bytes


class PackFolder:
    """The packs that one process fills in a folder.

    All packs of the folder together take at most ``limit`` bytes, and leave to others half of what was free on the
    disk at first. Those that were not used for longest go first, those that a process uses never. What others write
    nobody tells, so the folder and the disk are looked at whenever this process wrote 256 MB: by so much each process
    may miss the limits.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._packs: list[Pack] = []
        self._reserve: int | None = None
        self._turn = threading.Lock()
        # What others' packs and this process's may take, and what this one wrote since: as of the last look.
        self._foreign = self._allowed = self._written = 0

    def open(self, name: str, count: int, channels: int) -> Pack:
        """Open the pack of so many images, or make it; `close` closes it.

        Raises:
            OSError: the folder or the pack can't be read or written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        pack = Pack(self._folder / f"{name}{SUFFIX}", count, channels)
        self._packs.append(pack)
        self._look()
        return pack

    def keep(self, pack: Pack, number: int, image: NDArray[np.uint8]) -> bool:
        """Keep an image, (height, width, channels), in a pack of `open`; tell whether there was room.

        Raises:
            OSError: the disk is full, or the pack was removed.
        """
        with self._turn:
            if self._written >= _LOOK_AGAIN:
                self._look()
            kept = pack.put(number, image, self._longest(pack))
            if not kept and self._look(image.nbytes):
                kept = pack.put(number, image, self._longest(pack))
            self._written += image.nbytes if kept else 0
            return kept

    def close(self) -> None:
        """Let go of the packs."""
        for pack in self._packs:
            pack.close()
        self._packs = []

    def _longest(self, pack: Pack) -> int:
        """Return how many bytes a pack's file may become long."""
        return self._allowed - self._foreign - sum(one.bytes for one in self._packs if one is not pack)

    def _look(self, needed: int = 0) -> bool:
        """Look at the folder and the disk, remove packs as needed; tell whether there is room for so many bytes now."""
        for pack in self._packs:
            if not pack.is_at_its_path():
                raise OSError(errno.ENOENT, "the file was removed by others", str(pack.path))
        own = {pack.path for pack in self._packs}
        others = [one for one in packs_in(self._folder) if one.path not in own]
        used, foreign = sum(pack.bytes for pack in self._packs), sum(one.bytes for one in others)
        free = shutil.disk_usage(self._folder).free
        if self._reserve is None:
            self._reserve = free // 2
        self._allowed = min(self._limit, used + foreign + free - self._reserve)
        for one in others:
            if used + needed + foreign <= self._allowed:
                break
            if one.remove():
                log.info("Removed decoded images of another data set: %s (%d MB).", one.path, one.bytes // 10**6)
                foreign -= one.bytes
        self._foreign, self._written = foreign, 0
        return used + needed + foreign <= self._allowed
