"""Files of this machine, in the form of a storage."""

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tao_skill.errors import Problem, StorageError
from tao_skill.storage.locate import local_path
from tao_skill.storage.objects import ObjectFacts

__all__ = ["DiskStore"]

_PIECE = 1024 * 1024


class DiskStore:
    """Plain paths and ``file://``."""

    def find(self, uri: str) -> ObjectFacts | None:
        path = local_path(uri)
        return _facts(path, path.name) if path.is_file() else None

    def list(self, uri: str, limit: int | None = None) -> list[ObjectFacts]:
        root = local_path(uri)
        found = (path for path in sorted(root.rglob("*")) if path.is_file())
        listed: list[ObjectFacts] = []
        for path in found:
            if limit is not None and len(listed) >= limit:
                break
            listed.append(_facts(path, path.relative_to(root).as_posix()))
        return listed

    @contextmanager
    def read(self, facts: ObjectFacts, start: int, end: int | None) -> Iterator[Iterator[bytes]]:
        path = local_path(facts.uri)
        try:
            with path.open("rb") as file:
                if _stamp(os.fstat(file.fileno())) != (facts.size, facts.modified):
                    raise _changed(facts)
                file.seek(start)
                yield _pieces(file, None if end is None else end - start)
        except OSError as error:
            raise StorageError(
                f"{path} can't be read: {error.strerror or error}.",
                problems=[Problem(facts.uri, error.strerror or str(error), "a file that can be read")],
                next_step=f"ls -l {shlex.quote(str(path))}",
            ) from error

    def write(self, source: Path, uri: str) -> None:
        path = local_path(uri)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
            try:
                with os.fdopen(descriptor, "wb") as target, source.open("rb") as file:
                    shutil.copyfileobj(file, target, _PIECE)
                Path(name).chmod(0o644)
                Path(name).replace(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            place = shlex.quote(str(path.parent))
            raise StorageError(
                f"{path} can't be written: {error.strerror or error}.",
                problems=[Problem(uri, error.strerror or str(error), "a place that can be written")],
                next_step=f"ls -ld {place}; df -h {place}",
            ) from error


def _facts(path: Path, name: str) -> ObjectFacts:
    size, modified = _stamp(path.stat())
    return ObjectFacts(str(path), name, size, modified=modified)


def _stamp(facts: os.stat_result) -> tuple[int, str]:
    return facts.st_size, str(facts.st_mtime_ns)


def _pieces(file: BinaryIO, length: int | None) -> Iterator[bytes]:
    left = length
    while left is None or left > 0:
        piece = file.read(_PIECE if left is None else min(_PIECE, left))
        if not piece:
            return
        if left is not None:
            left -= len(piece)
        yield piece


def _changed(facts: ObjectFacts) -> StorageError:
    return StorageError(
        f"{facts.uri} changed while it was read.",
        problems=[Problem(facts.uri, "changed", "a file that nobody writes to meanwhile")],
        next_step="run the command again once the file is complete",
    )
