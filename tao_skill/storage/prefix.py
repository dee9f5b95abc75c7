"""Mirror all objects below a prefix into a folder."""

import hashlib
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path, PurePosixPath

from tao_skill.errors import StorageError
from tao_skill.storage.checksums import length_and_crc
from tao_skill.storage.folder_writer import FolderWriter
from tao_skill.storage.locate import redact
from tao_skill.storage.members import Limits, Members
from tao_skill.storage.objects import ObjectFacts, ObjectStore
from tao_skill.storage.progress import Progress
from tao_skill.storage.transfer import WrongBytesError, fetch, forget

__all__ = ["listing_identity", "mirror"]

THREADS = 12
# Larger ones are fetched one after the other, each by several ranges at a time.
_SMALL = 8 * 1024 * 1024


def listing_identity(uri: str, objects: list[ObjectFacts]) -> str:
    """Return a text that changes with any object below the prefix."""
    digest = hashlib.sha256(f"{redact(uri).rstrip('/')}/".encode())
    for one in objects:
        digest.update(one.identity(one.name).encode())
    return digest.hexdigest()


def mirror(
    store: ObjectStore, uri: str, objects: list[ObjectFacts], content: Path, listing: Path, *, limits: Limits
) -> int:
    """Fetch ``objects`` into ``content`` and return their number; what an earlier attempt brought is kept.

    Raises:
        StorageError: names that no folder can hold, more than ``limits``, or what can't be fetched.
    """
    members = Members(redact(uri), content, limits, holds="object")
    wanted = [(one, path) for one in objects if (path := members.admit(one.name)) is not None]
    if not wanted:
        members.refuse(objects[0].name, "at least one file that is not a Mac's own")
    for one, path in wanted:
        members.take(one.name, path)
        members.weigh(one.name, one.size or 0)
    for folder in sorted({path.parent for _, path in wanted}):
        content.joinpath(*folder.parts).mkdir(parents=True, exist_ok=True)
    scratch = content.parent / "parts"
    scratch.mkdir(exist_ok=True)
    progress = Progress(redact(uri), sum(one.size or 0 for one, _ in wanted))
    sums = _fetch_all(store, wanted, content, scratch, progress)
    progress.end()
    for left in scratch.iterdir():
        left.unlink()
    scratch.rmdir()
    with FolderWriter(members, listing) as writer:
        for (one, path), total in zip(wanted, sums, strict=True):
            writer.note(str(path), one.size or 0, total)
    return len(wanted)


def _fetch_all(
    store: ObjectStore,
    wanted: list[tuple[ObjectFacts, PurePosixPath]],
    content: Path,
    scratch: Path,
    progress: Progress,
) -> list[int]:
    def one(number: int) -> int:
        facts, path = wanted[number]
        return _fetch_one(store, facts, content.joinpath(*path.parts), scratch / f"{number}.part", progress)

    sums = [0] * len(wanted)
    small = [number for number, (facts, _) in enumerate(wanted) if (facts.size or 0) <= _SMALL]
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            running = {pool.submit(one, number): number for number in small}
            wait(running, return_when=FIRST_EXCEPTION)
        finally:  # after an error, or Ctrl-C, the pool would fetch all that waits first
            pool.shutdown(cancel_futures=True)
        for future, number in running.items():
            if not future.cancelled():
                sums[number] = future.result()
    for number in sorted(set(range(len(wanted))) - set(small)):
        sums[number] = one(number)
    return sums


def _fetch_one(store: ObjectStore, facts: ObjectFacts, path: Path, part: Path, progress: Progress) -> int:
    """Bring one object to its place and return its CRC; a file that is there came whole, earlier."""
    size = facts.size or 0
    if path.is_file() and path.stat().st_size == size:
        progress.skip(size)
        return length_and_crc(path)[1]
    try:
        fetch(store, facts, part, quiet=True)
    except WrongBytesError:
        # A listing doesn't tell every kind of encryption, so its ETag may be no MD5 after all: ask for this object.
        forget(part)
        exact = store.find(facts.uri)
        if exact is None or exact.etag != facts.etag:
            raise
        fetch(store, exact, part, quiet=True)
    length, total = length_and_crc(part)
    if length != size:
        raise StorageError(f"{redact(facts.uri)} came with {length} bytes, not {size}.")
    part.replace(path)
    progress.add(size)
    return total
