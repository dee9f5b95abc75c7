"""What a member of an archive, or an object below a prefix, may be called, and how much there may be of it."""

import re
import shutil
import stat
import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal, NoReturn

from tao_skill.errors import Problem, StorageError

__all__ = ["DEFAULT_LIMITS", "Limits", "Members", "inside", "is_junk", "safe_name"]

_JUNK = ("__MACOSX", ".DS_Store")
FREE_RESERVE = 64 * 1024 * 1024
# Images hardly shrink, and a bomb grows to about a thousand times its archive.
_MOST_PER_BYTE = 100
_ALWAYS_FINE = 1 << 30
_DEEPEST = 100
# Names that Windows keeps for devices, whatever their ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Limits:
    """How much one archive may unpack to; whoever has more extracts it by hand and names the folder."""

    members: int = 2_000_000
    total_bytes: int = 1 << 40
    link_copies_bytes: int = 1 << 34
    name_length: int = 4096

    def for_archive(self, size: int | None) -> "Limits":
        """Return the limits of an archive of so many bytes: images don't grow to hundreds of times their archive."""
        if size is None:
            return self
        return replace(self, total_bytes=min(self.total_bytes, max(_ALWAYS_FINE, size * _MOST_PER_BYTE)))


DEFAULT_LIMITS = Limits()


# What is not done with an archive or a prefix, and what to do instead.
_REFUSED = {
    "member": ("extracted", "make the archive anew from plain files, or extract it yourself and give the folder"),
    "object": ("fetched", "give that object another name, or fetch what you need yourself and give the folder"),
}


@dataclass
class Members:
    """Judge the members of one archive as they come, or the objects below a prefix, and count what they take."""

    archive: str
    target: Path
    limits: Limits
    holds: Literal["member", "object"] = "member"
    count: int = 0
    total: int = 0
    copied: int = 0
    _folders: dict[str, str] = field(default_factory=lambda: {".": "."})
    # Hashes only: millions of names would fill the memory.
    _files: set[int] = field(default_factory=set)

    def admit(self, name: str) -> PurePosixPath | None:
        """Return the relative path of the next member; None for what a Mac adds and nobody needs.

        Raises:
            StorageError: the name is dangerous, or it is one member too many.
        """
        self.count += 1
        if self.count > self.limits.members:
            self.refuse(name, f"at most {self.limits.members} {self.holds}s")
        path = safe_name(name)
        if path is None or len(name) > self.limits.name_length:
            self.refuse(name, "a relative name, without .., in UTF-8, that every system can write")
        if len(path.parts) > _DEEPEST:
            self.refuse(name, f"a name at most {_DEEPEST} folders deep")
        return None if is_junk(path) else path

    def check_mode(self, name: str, mode: int) -> None:
        """Refuse a program that would run with its owner's rights; no bit of a mode is ever taken over anyway."""
        if mode & (stat.S_ISUID | stat.S_ISGID):
            self.refuse(name, "a file without setuid and setgid")

    def take(self, name: str, path: PurePosixPath, *, folder: bool = False) -> bool:
        """Note a file or folder with its parents; say whether it is a file that was there before.

        Raises:
            StorageError: it is both a file and a folder, or another one's name differs only in upper and lower case, so
                that some disks mix them up.
        """
        for parent in (*path.parents, path) if folder else path.parents:
            text = str(parent)
            folded = _folded(text)
            if hash(folded) in self._files:
                self.refuse(name, "a folder where there is no file of the same name")
            if self._folders.setdefault(folded, text) != text:
                self.refuse(name, f"no folder beside {self._folders[folded]!r} that differs in case only")
        if folder:
            return False
        folded = _folded(str(path))
        if folded in self._folders:
            self.refuse(name, "a file where there is no folder of the same name")
        key = hash(folded)
        again = key in self._files
        if again and not self.target.joinpath(*path.parts).exists():
            self.refuse(name, "no two files whose names differ in case only")
        self._files.add(key)
        return again

    def weigh(self, name: str, size: int) -> None:
        """Count the bytes of a file before they are written.

        Raises:
            StorageError: more than the limit, or than the disk has.
        """
        self.total += size
        if size < 0 or self.total > self.limits.total_bytes:
            self.refuse(name, f"at most {self.limits.total_bytes} bytes in all")
        if size > 1024 * 1024 or self.count % 1000 == 1:
            self._check_space(name, size)

    def weigh_copy(self, name: str, size: int) -> None:
        """Count the bytes of a copy that stands for a link; raises as ``weigh`` does."""
        self.copied += size
        if self.copied > self.limits.link_copies_bytes:
            self.refuse(name, f"at most {self.limits.link_copies_bytes} bytes of copies by links")

    def refuse(self, name: str, expected: str) -> NoReturn:
        """Raise the error that names the member."""
        # What is no UTF-8 can't be printed.
        shown, expected = (one.encode(errors="backslashreplace").decode() for one in (name, expected))
        done, again = _REFUSED[self.holds]
        raise StorageError(
            f"{self.archive} is not {done}: its {self.holds} {name!r} is not allowed.",
            problems=[Problem(f"{self.archive.rstrip('/').rpartition('/')[2]}: {shown}", shown, expected)],
            next_step=again,
        )

    def _check_space(self, name: str, size: int) -> None:
        free = shutil.disk_usage(self.target).free
        if size + FREE_RESERVE > free:
            raise StorageError(
                f"{self.archive} does not fit on the disk of {self.target}.",
                problems=[Problem(name, size, f"at most {max(0, free - FREE_RESERVE)} bytes, which are free")],
                next_step="make room, or set TAO_SKILL_CACHE to a folder on a larger disk",
            )


def safe_name(name: str) -> PurePosixPath | None:
    """Return the relative path of a member, or None where the name is dangerous on any system."""
    if not name or "\0" in name or "\\" in name or name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return None
    try:
        name.encode()
    except UnicodeEncodeError:  # such as Latin-1, which other systems would write otherwise
        return None
    path = PurePosixPath(name)
    if ".." in path.parts or path.is_absolute():
        return None
    return None if any(_DEVICES.fullmatch(part) for part in path.parts) else path


def is_junk(path: PurePosixPath) -> bool:
    """Say whether this is what a Mac adds to archives."""
    return any(part in _JUNK or part.startswith("._") for part in path.parts)


def inside(base: PurePosixPath, linkname: str) -> PurePosixPath | None:
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


def _folded(name: str) -> str:
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()
