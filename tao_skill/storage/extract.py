"""Extract an archive that nobody vouches for.

Stricter than tarfile's ``data`` filter, and independent of it: every file is written here, by name, into a fresh
folder. No link is ever made on disk, so none can be followed out of the folder: a link inside the archive becomes a
second copy of the file that it names, and any other link is an error. Devices and pipes are errors. Nothing of a
member but its name, its kind and its bytes is used.
"""

import gzip
import shlex
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, cast

from tao_skill.errors import Problem, StorageError
from tao_skill.storage.damage import DamageError, extracting
from tao_skill.storage.folder_writer import FolderWriter
from tao_skill.storage.locate import redact
from tao_skill.storage.members import DEFAULT_LIMITS, Limits, Members, inside

__all__ = ["Limits", "extract", "extract_tar"]

_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1024 * 1024
_PADDING_LIMIT = 256 * _CHUNK
# Kinds of members that tarfile reads whole into memory: long names and extended headers.
_NAME_HEADERS = (b"L", b"K", b"x", b"g", b"X")
Link = tuple[str, PurePosixPath, PurePosixPath]


class _StrictTarInfo(tarfile.TarInfo):
    """Take a broken header for what it is; tarfile takes one in the middle for the end, and loses the rest."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_StrictTarInfo":
        header = super().frombuf(buf, encoding, errors)
        if header.type in _NAME_HEADERS and header.size > _CHUNK:
            raise DamageError(f"a header claims {header.size} bytes for one name")
        return header

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> "_StrictTarInfo":
        try:
            return super().fromtarfile(tarfile)
        except _EndOfArchive:
            raise
        except _HeaderError as error:
            if tarfile.offset == 0:
                raise DamageError("it is empty or no archive, such as an error page or a pointer to a file") from error
            raise DamageError(f"{error} at byte {tarfile.offset}: damaged or cut short") from error


_HeaderError: type[Exception] = tarfile.HeaderError
_EndOfArchive: type[Exception] = cast(Any, tarfile).EOFHeaderError


def extract(archive: Path, target: Path, limits: Limits = DEFAULT_LIMITS, listing: Path | None = None) -> int:
    """Extract a local .tar, .tar.gz or .zip, told apart by their bytes; see ``extract_tar``."""
    try:
        opened = archive.open("rb")
    except OSError as error:
        raise StorageError(
            f"{archive} can't be read: {error.strerror or error}.",
            problems=[Problem(str(archive), error.strerror or str(error), "a file that may be read")],
            next_step=f"ls -l {shlex.quote(str(archive))}",
        ) from error
    with opened as file:
        if file.read(4) == b"PK\x03\x04":
            from tao_skill.storage.extract_zip import extract_zip

            return extract_zip(archive, target, limits, listing=listing)
        file.seek(0)
        return extract_tar(file, str(archive), target, limits, listing=listing)


def extract_tar(
    stream: BinaryIO, archive: str, target: Path, limits: Limits = DEFAULT_LIMITS, listing: Path | None = None
) -> int:
    """Extract a .tar or .tar.gz that is read from its start into the existing empty folder ``target``.

    Return the number of files. On failure ``target`` is left half filled: extract into a folder that you remove.
    ``archive`` is what messages call it; ``listing`` gets a line for each file.

    Raises:
        StorageError: a dangerous member (named), more than ``limits``, a broken archive, no files, or no space.
    """
    members = Members(redact(archive), target, limits)
    with extracting(members, target, listing) as writer, _unpacked(stream) as plain:
        links: list[Link] = []
        with tarfile.open(fileobj=plain, mode="r|", tarinfo=_StrictTarInfo, bufsize=_CHUNK) as tar:
            while (member := tar.next()) is not None:
                cast(Any, tar).members = []
                _extract_member(tar, member, writer, links)
            # tarfile has read ahead.
            _drain(cast(IO[bytes], tar.fileobj))
        _copy_links(links, writer)
    return writer.files


def _unpacked(stream: BinaryIO) -> IO[bytes]:
    """Return what a gzip stream holds, or a plain stream as it is."""
    head = cast(Any, stream).peek(2)[:2]
    return _gunzip(stream) if head == _GZIP_MAGIC else stream


def _gunzip(stream: BinaryIO) -> IO[bytes]:
    try:
        from isal import igzip
    except ModuleNotFoundError:
        return cast(IO[bytes], gzip.GzipFile(fileobj=stream, mode="rb"))
    return cast(IO[bytes], igzip.IGzipFile(fileobj=stream, mode="rb"))  # type: ignore[no-untyped-call]


def _extract_member(tar: tarfile.TarFile, member: tarfile.TarInfo, writer: FolderWriter, links: list[Link]) -> None:
    members, name = writer.members, member.name
    path = members.admit(name)
    if path is None:
        return
    if member.isreg():
        members.check_mode(name, member.mode)
        members.weigh(name, member.size)
        writer.file(name, path, _pieces(tar, member))
    elif member.isdir():
        writer.folder(name, path)
    elif member.issym() or member.islnk():
        goal = inside(path.parent if member.issym() else PurePosixPath(), member.linkname)
        if goal is None:
            members.refuse(name, f"a link to a file inside the archive, not to {member.linkname!r}")
        if member.islnk() and goal == path and members.target.joinpath(*path.parts).is_file():
            return  # what tar writes of a file that it was given twice
        links.append((name, path, goal))
    else:
        members.refuse(name, "a file or a folder, no device and no pipe")


def _pieces(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    content = tar.extractfile(member)
    if content is None:
        return
    left = member.size
    while left > 0:
        # Past tarfile's own buffer: one piece, one copy.
        piece = content.raw.read(min(left, _CHUNK)) if member.sparse is None else content.read(_CHUNK)  # type: ignore[attr-defined]
        if not piece:
            raise DamageError(f"{member.name} ends early")
        left -= len(piece)
        yield piece


def _copy_links(waiting: list[Link], writer: FolderWriter) -> None:
    """Put a copy of the file a link names in the link's place; of links of one name, the last counts."""
    root = writer.members.target
    links = {place: (name, goal) for name, place, goal in waiting}
    ends: dict[PurePosixPath, PurePosixPath | None] = {}
    for place, (name, goal) in links.items():
        end = _end_of(place, links, ends)
        source, path = root.joinpath(*end.parts) if end else None, root.joinpath(*place.parts)
        if path.exists() or path.is_symlink():
            writer.members.refuse(name, "no link and file or folder of one name")
        if source is None or not source.is_file():
            writer.members.refuse(name, f"a link to a file of the archive; {goal} is none")
        writer.members.weigh_copy(name, source.stat().st_size)
        with source.open("rb") as file:
            writer.file(name, place, iter(lambda: file.read(_CHUNK), b""))


def _end_of(
    place: PurePosixPath,
    links: dict[PurePosixPath, tuple[str, PurePosixPath]],
    ends: dict[PurePosixPath, PurePosixPath | None],
) -> PurePosixPath | None:
    """Return what a link leads to over all others, None for a circle; ``ends`` keeps what is known of those passed."""
    passed: dict[PurePosixPath, None] = {}
    end: PurePosixPath | None = place
    while end in links:
        if end in ends:
            end = ends[end]
            break
        if end in passed:
            end = None
            break
        passed[end] = None
        end = links[end][1]
    ends.update(dict.fromkeys(passed, end))
    return end


def _drain(stream: IO[bytes]) -> None:
    """Read what follows the archive's end, so that gzip checks its sum; only zeros that end somewhere are padding."""
    rest = 0
    while chunk := stream.read(_CHUNK):
        rest += len(chunk)
        if chunk.strip(b"\0"):
            raise DamageError("more content follows its end, as where one archive was put behind another")
        if rest > _PADDING_LIMIT:
            raise DamageError(f"more than {_PADDING_LIMIT} bytes follow its end")
