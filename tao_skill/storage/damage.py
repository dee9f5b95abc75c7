"""What goes wrong while an archive is extracted, of whatever kind it is."""

import gzip
import shlex
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tao_skill.errors import Problem, StorageError
from tao_skill.storage.folder_writer import FolderWriter
from tao_skill.storage.locate import is_remote
from tao_skill.storage.members import Members

__all__ = ["BrokenArchiveError", "DamageError", "extracting"]


class BrokenArchiveError(StorageError):
    """The bytes are no whole archive."""


class DamageError(Exception):
    """Say why the bytes are no whole archive."""


# What the parsers raise on bytes that are no whole archive; isal's and bzip2's are also OSError without a number.
_DAMAGE: tuple[type[Exception], ...] = (
    tarfile.TarError,
    DamageError,
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    ValueError,
    OverflowError,
    IndexError,
    RecursionError,
)


@contextmanager
def extracting(
    members: Members, target: Path, listing: Path | None, *damage: type[Exception]
) -> Iterator[FolderWriter]:
    """Give the writer of an archive's files, and turn what the parsers raise into errors that name the archive.

    ``damage`` is what this kind of archive's parser raises beside what all do.

    Raises:
        StorageError: a broken archive, one without files, or a disk that doesn't take them.
    """
    try:
        with FolderWriter(members, listing) as writer:
            yield writer
    except damage + _DAMAGE as error:
        if isinstance(error, StorageError):
            raise
        raise _broken(members.archive, str(error) or type(error).__name__) from error
    except OSError as error:
        if error.errno is None:  # not the system's, but a decompressor's
            raise _broken(members.archive, str(error) or type(error).__name__) from error
        raise _unwritable(members.archive, target, error) from error
    if writer.files == 0:
        raise _broken(members.archive, "it holds no files")


def _broken(archive: str, reason: str) -> BrokenArchiveError:
    remote = "look whether its address gives an archive at all; if it does, make it anew and put it there again"
    return BrokenArchiveError(
        f"{archive} can't be extracted: {reason}.",
        problems=[Problem(archive, reason, "a whole .tar, .tar.gz, .tgz or .zip archive")],
        next_step=remote if is_remote(archive) else f"file {shlex.quote(archive)}   # then fetch or make it anew",
    )


def _unwritable(archive: str, target: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{archive} can't be extracted: {error.strerror or error}.",
        problems=[Problem(str(error.filename or target), error.strerror or str(error), "a place to write files")],
        next_step="make room, or set TAO_SKILL_CACHE to a folder on a larger disk",
    )
