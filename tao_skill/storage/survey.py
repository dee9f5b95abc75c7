"""Look at one URI without moving anything: is it there, may it be read, and what would it take?"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tao_skill.config.folders import trouble_with_path
from tao_skill.storage.archive_names import is_archive, refuse_other_archives
from tao_skill.storage.backends import store_for
from tao_skill.storage.companions import find_companions, identity_of
from tao_skill.storage.entries import kept_bytes, usable
from tao_skill.storage.locate import is_remote, join, local_path
from tao_skill.storage.members import DEFAULT_LIMITS
from tao_skill.storage.nearest import missing
from tao_skill.storage.objects import ObjectFacts
from tao_skill.storage.prefix import listing_identity
from tao_skill.storage.small import patiently
from tao_skill.storage.stage import entry_path

__all__ = ["Survey", "check_writable", "survey"]

# An object of this name tells that the results root can be written; it holds one line and stays.
WRITE_CHECK = ".tao-skill-write-check"


@dataclass(frozen=True)
class Survey:
    """What staging a URI would take: bytes to fetch, and the least of bytes on the disk of the cache."""

    to_fetch: int = 0
    disk: int = 0
    cached: bool = False


def survey(uri: str, cache: Path) -> Survey:
    """Look at one input.

    Raises:
        StorageError: it is not there (nearest names told), or can't be read or reached.
    """
    refuse_other_archives(uri)
    if not is_remote(uri):
        return _survey_local(uri, cache)
    store = store_for(uri)
    facts = patiently(lambda: store.find(uri))
    if facts is not None:
        _read_a_byte(uri, facts)
        companions = find_companions(store, uri, facts)
        identity = identity_of(uri, facts, companions)
        size = sum(one.size or 0 for one in (facts, *companions))
        # While an archive is extracted, it and its content are both on the disk; content is no smaller than half.
        return _answer(cache, uri, identity, size, disk=2 * size if is_archive(uri) else size)
    objects = [] if is_archive(uri) else patiently(lambda: store.list(uri, DEFAULT_LIMITS.members + 1))
    if not objects:
        raise missing(store, uri)
    _read_a_byte(uri, next((one for one in objects if one.size), objects[0]))
    total = sum(one.size or 0 for one in objects)
    return _answer(cache, uri, listing_identity(uri, objects), total, disk=total)


def check_writable(uri: str) -> None:
    """Write a small object below a remote root.

    Raises:
        StorageError: that can't be done.
    """
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"tao_skill writes results here\n")
        file.flush()
        patiently(lambda: store_for(uri).write(Path(file.name), join(uri, WRITE_CHECK)))


def _survey_local(uri: str, cache: Path) -> Survey:
    store, path = store_for(uri), local_path(uri)
    if trouble_with_path(path):
        raise missing(store, uri)
    facts = store.find(uri)
    if facts is None or not is_archive(uri):
        return Survey()
    return _answer(cache, uri, identity_of(uri, facts, []), 0, disk=facts.size or 0)


def _read_a_byte(uri: str, facts: ObjectFacts) -> None:
    """Find out whether the object may be read, not only looked at."""
    if not facts.size:
        return

    def read() -> None:
        with store_for(uri).read(facts, 0, 1 if facts.ranges else None) as pieces:
            next(iter(pieces), b"")

    patiently(read)


def _answer(cache: Path, uri: str, identity: str, to_fetch: int, *, disk: int) -> Survey:
    done = entry_path(cache, uri, identity)
    if usable(done, identity) is not None:
        return Survey(cached=True)
    kept = kept_bytes(done)
    return Survey(max(0, to_fetch - kept), max(0, disk - kept))
