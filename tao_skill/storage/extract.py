"""Extract a tar archive that nobody vouches for.

Stricter than tarfile's ``data`` filter, and independent of it: every file is written here, by name, into a fresh
folder. No link is ever made on disk, so none can be followed out of the folder: a link inside the archive becomes a
second copy of the file that it names, and any other link is an error. Devices and pipes are errors. Nothing of a
member but its name, its kind and its bytes is used.
"""

import gzip
import os
import re
import shutil
import tarfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, NoReturn, cast

from tao_skill.errors import Problem, StorageError

_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1024 * 1024
_PADDING_LIMIT = 256 * _CHUNK
# Kinds of members that tarfile reads whole into memory: long names and extended headers.
_NAME_HEADERS = (b"L", b"K", b"x", b"g", b"X")
_JUNK = ("__MACOSX", ".DS_Store")
_FREE_RESERVE = 64 * _CHUNK


@dataclass(frozen=True)
class Limits:
    """How much one archive may unpack to; whoever has more extracts it by hand and names the folder."""

    members: int = 5_000_000
    total_bytes: int = 1 << 40
    link_copies_bytes: int = 1 << 34


DEFAULT_LIMITS = Limits()


class _StrictTarInfo(tarfile.TarInfo):
    """Take a broken header for what it is; tarfile takes one in the middle for the end, and loses the rest."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_StrictTarInfo":
        header = super().frombuf(buf, encoding, errors)
        if header.type in _NAME_HEADERS and header.size > _CHUNK:
            raise _BrokenError(f"a header claims {header.size} bytes for one name")
        return header

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> "_StrictTarInfo":
        try:
            return super().fromtarfile(tarfile)
        except _EndOfArchive:
            raise
        except _HeaderError as error:
            raise _BrokenError(f"{error} at byte {tarfile.offset}: damaged or cut short") from error


class _BrokenError(Exception):
    """Say why the bytes are no whole archive."""


_HeaderError: type[Exception] = tarfile.HeaderError
_EndOfArchive: type[Exception] = cast(Any, tarfile).EOFHeaderError


# What the parser raises on bytes that are no whole archive.
_DAMAGE = (
    tarfile.TarError,
    _BrokenError,
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    ValueError,
    OverflowError,
    IndexError,
    RecursionError,
)


@dataclass
class _Progress:
    """Count what one extraction has written."""

    archive: Path
    target: Path
    limits: Limits
    members: int = 0
    total: int = 0
    copied: int = 0
    files: int = 0
    links: list[tuple[str, PurePosixPath, PurePosixPath]] = field(default_factory=list)


def extract(archive: Path, target: Path, limits: Limits = DEFAULT_LIMITS) -> int:
    """Extract a .tar or .tar.gz, told apart by their bytes, into the existing empty folder ``target``.

    Return the number of files. On failure ``target`` is left half filled: extract into a folder that you remove.

    Raises:
        StorageError: a dangerous member (named), more than ``limits``, a broken archive, no files, or no space.
    """
    progress = _Progress(archive, target, limits)
    try:
        with _opened(archive) as stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=_StrictTarInfo) as tar:
            while (member := tar.next()) is not None:
                cast(Any, tar).members = []
                _extract_member(tar, member, progress)
            _drain(stream)
        _copy_links(progress)
    except _DAMAGE as error:
        if isinstance(error, StorageError):
            raise
        _broken(archive, str(error) or type(error).__name__, error)
    except OSError as error:
        raise StorageError(
            f"{archive} can't be extracted: {error.strerror or error}.",
            problems=[Problem(str(error.filename or target), error.strerror or str(error), "a place to write files")],
            next_step="make room, or set TAO_SKILL_CACHE to a folder on a larger disk",
        ) from error
    if progress.files == 0:
        _broken(archive, "it holds no files", None)
    return progress.files


def _opened(archive: Path) -> IO[bytes]:
    with archive.open("rb") as file:
        magic = file.read(2)
    return cast(IO[bytes], gzip.open(archive, "rb")) if magic == _GZIP_MAGIC else archive.open("rb")


def _extract_member(tar: tarfile.TarFile, member: tarfile.TarInfo, progress: _Progress) -> None:
    progress.members += 1
    if progress.members > progress.limits.members:
        _refuse(progress, member, f"at most {progress.limits.members} members")
    name = _safe_name(member.name)
    if name is None:
        _refuse(progress, member, "a relative name inside the archive, without ..")
    if any(part in _JUNK or part.startswith("._") for part in name.parts):
        return
    path = progress.target.joinpath(*name.parts)
    if member.isdir():
        _make_folder(path, member, progress)
    elif member.isreg():
        _write_file(tar, member, path, progress)
    elif member.issym() or member.islnk():
        base = name.parent if member.issym() else PurePosixPath()
        goal = _inside(base, member.linkname)
        if goal is None:
            _refuse(progress, member, f"a link to a file inside the archive, not to {member.linkname!r}")
        progress.links.append((member.name, name, goal))
    else:
        _refuse(progress, member, "a file or a folder, no device and no pipe")


def _safe_name(name: str) -> PurePosixPath | None:
    """Return the relative path of a member, or None where the name is dangerous on any system."""
    if not name or "\0" in name or "\\" in name or name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return None
    path = PurePosixPath(name)
    return None if ".." in path.parts or path.is_absolute() else path


def _inside(base: PurePosixPath, linkname: str) -> PurePosixPath | None:
    """Return where a link in folder ``base`` points, in plain steps; None where that is outside."""
    if not linkname or "\0" in linkname or "\\" in linkname or linkname.startswith("/"):
        return None
    steps: list[str] = []
    for part in (*base.parts, *PurePosixPath(linkname).parts):
        if part != "..":
            steps.append(part)
        elif steps:
            steps.pop()
        else:
            return None
    return PurePosixPath(*steps) if steps else None


def _make_folder(path: Path, member: tarfile.TarInfo, progress: _Progress) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        _refuse(progress, member, "a folder where the archive has no file of the same name")


def _write_file(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, progress: _Progress) -> None:
    progress.total += member.size
    if member.size < 0 or progress.total > progress.limits.total_bytes:
        _refuse(progress, member, f"at most {progress.limits.total_bytes} bytes in all")
    if member.size > _CHUNK or progress.files % 1000 == 0:
        _check_space(member, progress)
    _make_folder(path.parent, member, progress)
    if path.is_dir():
        _refuse(progress, member, "a file where the archive has no folder of the same name")
    content = tar.extractfile(member)
    with path.open("wb") as file:
        if content is not None:
            shutil.copyfileobj(content, file, _CHUNK)
    progress.files += 1


def _check_space(member: tarfile.TarInfo, progress: _Progress) -> None:
    free = shutil.disk_usage(progress.target).free
    if member.size + _FREE_RESERVE > free:
        raise StorageError(
            f"{progress.archive} does not fit on the disk of {progress.target}.",
            problems=[
                Problem(member.name, member.size, f"at most {max(0, free - _FREE_RESERVE)} bytes, which are free")
            ],
            next_step="make room, or set TAO_SKILL_CACHE to a folder on a larger disk",
        )


def _copy_links(progress: _Progress) -> None:
    """Put a copy of the file a link names in the link's place; links to links are followed in passes."""
    waiting = progress.links
    while waiting:
        left: list[tuple[str, PurePosixPath, PurePosixPath]] = []
        for link in waiting:
            name, place, goal = link
            source, path = progress.target.joinpath(*goal.parts), progress.target.joinpath(*place.parts)
            if path.exists() or path.is_symlink() or not source.is_file():
                left.append(link)
                continue
            progress.copied += source.stat().st_size
            if progress.copied > progress.limits.link_copies_bytes:
                _refuse_link(progress, name, f"at most {progress.limits.link_copies_bytes} bytes of copies by links")
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)
            progress.files += 1
        if len(left) == len(waiting):
            _refuse_link(progress, left[0][0], f"a link to a file of the archive; {left[0][2]} is none")
        waiting = left


def _drain(stream: IO[bytes]) -> None:
    """Read what follows the archive's end, so that gzip checks its sum; an endless rest is no padding."""
    rest = 0
    while chunk := stream.read(_CHUNK):
        rest += len(chunk)
        if rest > _PADDING_LIMIT:
            raise _BrokenError(f"more than {_PADDING_LIMIT} bytes follow its end")


def _refuse(progress: _Progress, member: tarfile.TarInfo, expected: str) -> NoReturn:
    _refuse_link(progress, member.name, expected)


def _refuse_link(progress: _Progress, name: str, expected: str) -> NoReturn:
    raise StorageError(
        f"{progress.archive} is not extracted: its member {name!r} is not allowed.",
        problems=[Problem(f"{progress.archive.name}: {name}", name, expected)],
        next_step="make the archive anew from plain files, or extract it yourself and give the folder",
    )


def _broken(archive: Path, reason: str, error: BaseException | None) -> NoReturn:
    size = archive.stat().st_size if archive.exists() else 0
    raise StorageError(
        f"{archive} can't be extracted: {reason}.",
        problems=[Problem(str(archive), f"{size} bytes; {reason}", "a whole .tar, .tar.gz or .tgz archive")],
        next_step=f"tar -tf {os.fspath(archive)}   # then fetch or make it anew",
    ) from error
