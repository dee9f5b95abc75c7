"""Extract a zip archive that nobody vouches for, by the same rules as a tar archive."""

import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tao_skill.storage.damage import DamageError, extracting
from tao_skill.storage.folder_writer import FolderWriter
from tao_skill.storage.locate import redact
from tao_skill.storage.members import DEFAULT_LIMITS, Limits, Members

__all__ = ["extract_zip"]

_DAMAGE: tuple[type[Exception], ...] = (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError)
try:
    from lzma import LZMAError
except ImportError:  # a Python that was built without it
    pass
else:
    _DAMAGE = (*_DAMAGE, LZMAError)
_PIECE = 1024 * 1024
# The highest rate of deflate is about 1032 to 1; a small archive that claims more than this per byte is a bomb.
_MOST_PER_BYTE = 1100
_ENCRYPTED = 0x1
_UTF_8 = 0x800


def extract_zip(
    archive: Path,
    target: Path,
    limits: Limits = DEFAULT_LIMITS,
    *,
    listing: Path | None = None,
    shown: str = "",
) -> int:
    """Extract a zip file into the existing empty folder ``target`` and return the number of files.

    Raises:
        StorageError: as ``extract_tar``; links, encrypted members and members that overlap are refused too.
    """
    members = Members(redact(shown or str(archive)), target, limits)
    with extracting(members, target, listing, *_DAMAGE) as writer, zipfile.ZipFile(archive) as opened:
        _check_claims(opened, members)
        for member in opened.infolist():
            _extract_member(opened, member, writer)
    return writer.files


def _check_claims(opened: zipfile.ZipFile, members: Members) -> None:
    """Refuse what claims too much before anything is written.

    Members that share bytes of the file let a few kilobytes claim petabytes.
    """
    claimed, end, before = 0, 0, ""
    in_order = sorted(opened.infolist(), key=lambda one: one.header_offset)
    if in_order and in_order[0].header_offset > 0:
        raise DamageError("content that it doesn't list goes before it, as where one archive was put behind another")
    for member in in_order:
        if member.header_offset < end:
            members.refuse(member.filename, f"bytes of its own, not those of {before!r}")
        end, before = member.header_offset + 30 + member.compress_size, member.filename
        claimed += member.file_size
        if claimed > members.limits.total_bytes:
            members.refuse(member.filename, f"at most {members.limits.total_bytes} bytes in all")


def _extract_member(opened: zipfile.ZipFile, member: zipfile.ZipInfo, writer: FolderWriter) -> None:
    members, name = writer.members, _name_of(member)
    path = members.admit(name)
    if path is None:
        return
    kind = stat.S_IFMT(member.external_attr >> 16)
    if member.is_dir():
        writer.folder(name, path)
        return
    if kind not in (0, stat.S_IFREG):
        members.refuse(name, "a file or a folder: no link, no device and no pipe")
    if member.flag_bits & _ENCRYPTED:
        members.refuse(name, "a file without a password")
    if member.file_size > _MOST_PER_BYTE * member.compress_size + _PIECE:
        members.refuse(name, "no more content than its packed bytes can hold")
    members.check_mode(name, member.external_attr >> 16)
    members.weigh(name, member.file_size)
    writer.file(name, path, _pieces(opened, member, members))


def _name_of(member: zipfile.ZipInfo) -> str:
    """Return the name that was written: zipfile cuts one at a zero byte and turns backslashes.

    The format's own characters are those of code page 437 where no flag says UTF-8, which the packers of macOS and
    others write without it; hardly any name of the one is a name of the other as well.
    """
    name = member.orig_filename
    if member.flag_bits & _UTF_8 or name.isascii():
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeDecodeError:
        return name


def _pieces(opened: zipfile.ZipFile, member: zipfile.ZipInfo, members: Members) -> Iterator[bytes]:
    left = member.file_size
    with opened.open(member) as content:
        while piece := content.read(_PIECE):
            left -= len(piece)
            if left < 0:
                members.refuse(member.filename, f"the {member.file_size} bytes that the archive announces")
            yield piece
