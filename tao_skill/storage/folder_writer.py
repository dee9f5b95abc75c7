"""Write the files of one data set into a fresh folder, and keep a list of them with their sums."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO

from tao_skill.storage.checksums import crc32
from tao_skill.storage.members import Members

__all__ = ["FolderWriter"]

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)


class FolderWriter:
    """Put files below ``members.target``; each gets a line ``[path, bytes, crc32]`` in the list, where one is kept."""

    def __init__(self, members: Members, listing: Path | None = None) -> None:
        self.members = members
        self.files = 0
        self._root = str(members.target)
        self._made: set[str] = {"."}
        self._path = listing
        self._listing: IO[str] | None = None
        # Files that came more than once, as `tar -r` appends them, and how often they were replaced.
        self._replaced: Counter[str] = Counter()

    def __enter__(self) -> "FolderWriter":
        self._listing = self._path.open("w", encoding="utf-8") if self._path else None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listing is not None:
            self._listing.close()
            if self._replaced:
                self._list_once()

    def _list_once(self) -> None:
        """Keep the last line of each file in the list: what was replaced is no longer there."""
        assert self._path is not None
        whole, left = self._path.with_name(f"{self._path.name}.all"), self._replaced.copy()
        self._path.rename(whole)
        with whole.open(encoding="utf-8") as lines, self._path.open("w", encoding="utf-8") as kept:
            for line in lines:
                path = json.loads(line)[0]
                if left[path] > 0:
                    left[path] -= 1
                else:
                    kept.write(line)
        whole.unlink()

    def folder(self, name: str, path: PurePosixPath) -> None:
        """Make a folder with its parents."""
        text = str(path)
        if text in self._made:
            return
        self.members.take(name, path, folder=True)
        self.members.target.joinpath(*path.parts).mkdir(parents=True, exist_ok=True)
        self._made.add(text)

    def file(self, name: str, path: PurePosixPath, pieces: Iterable[bytes]) -> int:
        """Write one file and return its length."""
        if str(path.parent) not in self._made:
            self.folder(name, path.parent)
        again = self.members.take(name, path)
        descriptor = os.open(f"{self._root}/{path}", _CREATE, 0o644)
        length, total = 0, 0
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[os.write(descriptor, view) :]
                total = crc32(piece, total)
                length += len(piece)
        finally:
            os.close(descriptor)
        if again:
            self._replaced[str(path)] += 1
        else:
            self.files += 1
        self.note(str(path), length, total)
        return length

    def note(self, path: str, length: int, total: int) -> None:
        """Add a file to the list."""
        if self._listing is not None:
            self._listing.write(f"{json.dumps([path, length, total], ensure_ascii=False)}\n")
