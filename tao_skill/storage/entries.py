"""The cache's entries: folders that appear whole or not at all, each with a marker that says what it holds.

::

    <cache>/staged/<name>-<key>/content/…        what was fetched or extracted
                                /files.jsonl     path, bytes and crc32 of each file in it
                                /entry.json      the marker
    <cache>/staged/<name>-<key>.part[.done]      a transfer that goes on where it broke off
    <cache>/staged/<name>-<key>.*.partial/       an extraction at work, or left by a process that died
    <cache>/staged/<name>-<key>.lock             held by whoever makes the entry
"""

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from tao_skill.errors import Problem, StorageError
from tao_skill.storage.entry_locks import USED, hold, let_go, unused
from tao_skill.storage.members import is_junk

__all__ = [
    "CONTENT",
    "Entry",
    "Marker",
    "entry_at",
    "kept_bytes",
    "kept_of",
    "make_entry",
    "part_of",
    "remove_leftovers",
    "staged_folder",
    "usable",
]

CONTENT, LISTING, MARKER = "content", "files.jsonl", "entry.json"
_VERSION = 1


@dataclass(frozen=True)
class Marker:
    """What an entry holds and where it came from; ``uri`` is free of secrets."""

    uri: str
    kind: str
    identity: str
    files: int
    bytes: int
    top: list[str]
    made_at: float
    boot: str = ""
    version: int = _VERSION


@dataclass(frozen=True)
class Entry:
    """One whole entry."""

    folder: Path
    marker: Marker

    @property
    def content(self) -> Path:
        return self.folder / CONTENT

    @property
    def bytes(self) -> int:
        return self.marker.bytes

    @property
    def used_at(self) -> float:
        """Return when the entry was last asked for, in seconds since 1970."""
        try:
            return (self.folder / USED).stat().st_mtime
        except OSError:
            return self.marker.made_at

    def use(self) -> bool:
        """Note the use, and keep the entry from being pruned while this process lives, or one that it gave the lock.

        Return False where another process has just removed it.
        """
        with suppress(OSError):  # a cache that can only be read serves as well
            hold(self.folder)
            (self.folder / USED).touch()
        if self.content.is_dir():
            return True
        let_go(self.folder)
        return False

    def is_extra(self, name: str) -> bool:
        """Say whether this is what a Mac put beside the content: no change of the entry."""
        return name not in self.marker.top and is_junk(PurePosixPath(name))

    def listed(self) -> Iterator[tuple[str, int, int]]:
        """Yield path, bytes and crc32 of each file."""
        with (self.folder / LISTING).open(encoding="utf-8") as lines:
            for line in lines:
                path, length, total = json.loads(line)
                yield str(path), int(length), int(total)

    def remove(self) -> bool:
        """Delete the entry, unless a process uses it; it is gone at once, and its bytes soon after."""
        return _remove(self.folder)


def staged_folder(cache: Path) -> Path:
    """Return the folder of all entries, made where it is missing."""
    folder = cache / "staged"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def entry_at(folder: Path) -> Entry | None:
    """Return the entry in a folder; None where there is none, or its marker is not whole."""
    try:
        document = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        marker = Marker(**document)
        return Entry(folder, marker) if marker.version == _VERSION and (folder / CONTENT).is_dir() else None
    except (OSError, ValueError, TypeError):
        return None


def usable(folder: Path, identity: str) -> Entry | None:
    """Return the entry if it is whole as far as a quick look can tell, and of the same state of the object.

    After a restart of the machine the lengths of all files are looked at once: a power cut may have eaten bytes that
    were never written to the disk.
    """
    entry = entry_at(folder)
    if entry is None or entry.marker.identity != identity:
        return None
    if sorted(path.name for path in entry.content.iterdir() if not entry.is_extra(path.name)) != entry.marker.top:
        return None
    if entry.marker.boot != _boot():
        if not _lengths_fit(entry):
            return None
        with suppress(OSError):  # a cache that can only be read
            _write_marker(folder, Marker(**(asdict(entry.marker) | {"boot": _boot()})))
    return entry


def kept_bytes(done: Path) -> int:
    """Return how many bytes a broken transfer left on the disk, with which the next one of this entry goes on."""
    part, kept = part_of(done), kept_of(done)
    try:
        return sum(_on_disk(path) for path in (part, *kept.rglob("*")) if path.is_file())
    except OSError:  # another process is at it
        return 0


def part_of(done: Path) -> Path:
    """Return where an object is brought to before it is extracted or renamed."""
    return done.with_name(f"{done.name}.part")


def kept_of(done: Path) -> Path:
    """Return where the objects of a prefix are brought to, and stay until the last one is there."""
    return done.with_name(f"{done.name}.kept.partial")


def _on_disk(path: Path) -> int:
    """Return the bytes that a file takes, without its holes: parts of it may have come in any order."""
    facts = path.stat()
    return min(facts.st_size, getattr(facts, "st_blocks", facts.st_size) * 512)


def make_entry(
    done: Path, uri: str, kind: str, identity: str, *, fill: Callable[[Path, Path], int], kept: Path | None = None
) -> Entry:
    """Make an entry beside its place and rename it; called under its lock.

    ``fill`` puts files into the folder it is given, writes their list to the path it is given, and returns their
    number. ``kept`` is a half-made folder that a later attempt goes on with; otherwise leftovers are removed.
    """
    for leftover in done.parent.glob(f"{_escaped(done.name)}.*.partial"):
        if leftover != kept:
            shutil.rmtree(leftover, ignore_errors=True)
    let_go(done)  # as it was: what is made here is another entry
    # Broken, or of another version; it may be gone by itself meanwhile.
    if done.exists() and not _remove(done) and done.exists():
        raise StorageError(
            f"The cache entry of {uri} was changed, and can't be made anew: it is in use, or another user's.",
            problems=[Problem(str(done), "changed", "as it was staged, or used by nobody and yours to remove")],
            next_step="wait for the process that uses it, or set TAO_SKILL_CACHE to another folder",
        )
    partial = kept or Path(tempfile.mkdtemp(prefix=f"{done.name}.", suffix=".partial", dir=done.parent))
    try:
        content = partial / CONTENT
        content.mkdir(parents=True, exist_ok=True)
        files = fill(content, partial / LISTING)
        with (partial / LISTING).open(encoding="utf-8") as lines:
            total = sum(json.loads(line)[1] for line in lines)
        top = sorted(path.name for path in content.iterdir())
        _write_marker(partial, Marker(uri, kind, identity, files, total, top, time.time(), _boot()))
        partial.chmod(0o755)
        partial.rename(done)
    except BaseException:
        if kept is None:
            shutil.rmtree(partial, ignore_errors=True)
        raise
    entry = entry_at(done)
    if entry is None:
        raise StorageError(
            f"The cache entry {done} vanished while it was made.",
            problems=[Problem(str(done), "gone", "a cache that nobody else clears meanwhile")],
            next_step="run the command again",
        )
    return entry


def _remove(folder: Path) -> bool:
    with unused(folder) as free:
        if not free:
            return False
        grave = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".partial", dir=folder.parent))
        try:
            folder.rename(grave / "removed")
        except OSError:  # another process was quicker, or the entry is another user's
            shutil.rmtree(grave, ignore_errors=True)
            return False
    shutil.rmtree(grave, ignore_errors=True)
    return True


def remove_leftovers(staged: Path) -> int:
    """Delete what broken transfers and dead processes left, where nobody is at work on it, and return how much it was.

    Each goes under the lock of whoever makes its entry: one that goes on with it waits, and finds it gone.
    """
    from filelock import FileLock, Timeout

    removed = 0
    for path in sorted([*staged.glob("*.partial"), *staged.glob("*.part"), *staged.glob("*.part.done")]):
        name = re.sub(r"(\.part|\.part\.done|\.[^.]*\.partial)$", "", path.name)
        try:
            with FileLock(staged / f"{name}.lock", timeout=0):
                removed += path.exists()
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
        except Timeout:
            continue
    return removed


def _write_marker(folder: Path, marker: Marker) -> None:
    temporary = folder / f"{MARKER}.{os.getpid()}.tmp"
    temporary.write_text(json.dumps(asdict(marker), indent=1), encoding="utf-8")
    temporary.replace(folder / MARKER)


def _lengths_fit(entry: Entry) -> bool:
    try:
        return all((entry.content / path).stat().st_size == length for path, length, _ in entry.listed())
    except (OSError, ValueError):
        return False


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _escaped(name: str) -> str:
    return re.sub(r"([\[\]?*])", r"[\1]", name)
