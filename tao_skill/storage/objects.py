"""What every kind of storage can do, and what it says of one object."""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tao_skill.errors import StorageError

__all__ = [
    "Checksum",
    "DeniedError",
    "ObjectFacts",
    "ObjectStore",
    "SilentError",
    "TransferError",
    "UnreachableError",
]


class TransferError(StorageError):
    """A transfer broke in a way that may pass: another try is worth it."""


class UnreachableError(TransferError):
    """There is no way to the server: other objects fare no better for now."""


class SilentError(UnreachableError):
    """The server let every try time out: another one would only take as long."""


class DeniedError(StorageError):
    """The server refuses to say anything of an object, or to give it."""


@dataclass(frozen=True)
class Checksum:
    """What a server states of an object's bytes.

    ``algorithm`` is sha256, md5, crc32 (values in lower-case hex) or etag: the MD5 sums of the parts of a multipart
    upload, which can be checked only where ``part_bytes`` is known.
    """

    algorithm: str
    value: str
    part_bytes: int = 0


@dataclass(frozen=True)
class ObjectFacts:
    """One object as its server states it; ``uri`` is the one to read from, and may carry a signature.

    ``size`` is None where the server doesn't say; then the object is read in one go, and without ``ranges`` too.
    """

    uri: str
    name: str
    size: int | None
    etag: str = ""
    version: str = ""
    modified: str = ""
    checksum: Checksum | None = None
    ranges: bool = True

    @property
    def is_stated(self) -> bool:
        """Say whether the server stated anything that changes when the object does, beside its size."""
        return bool(self.etag or self.checksum or self.modified or self.version)

    def identity(self, place: str) -> str:
        """Return a text that changes when the object does; ``place`` is its URI without secrets."""
        stated = self.etag or (self.checksum.value if self.checksum else "") or self.modified
        return hashlib.sha256("\0".join((place, str(self.size), stated, self.version)).encode()).hexdigest()


class ObjectStore(Protocol):
    """Storage of one scheme; every method raises StorageError that says what to do, TransferError if it may pass."""

    def find(self, uri: str) -> ObjectFacts | None:
        """Return what the server states of an object; None where there is none."""
        ...

    def list(self, uri: str, limit: int | None = None) -> list[ObjectFacts]:
        """Return the objects below a prefix, in order of their names, which are relative to it; [] for none."""
        ...

    def read(self, facts: ObjectFacts, start: int, end: int | None) -> AbstractContextManager[Iterator[bytes]]:
        """Read bytes ``start`` to ``end`` (exclusive) of exactly this state of the object, in pieces up to 1 MiB.

        Raises:
            StorageError: among others where the object has changed since.
        """
        ...

    def write(self, source: Path, uri: str) -> None:
        """Put a file at ``uri``, whole or not at all."""
        ...
