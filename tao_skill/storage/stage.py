"""Bring one input to where the action can read it."""

import logging
import re
from collections.abc import Callable
from pathlib import Path

from tao_skill.config.cache_folder import cache_directory
from tao_skill.errors import Problem, StorageError
from tao_skill.storage.archive_names import ARCHIVE_SUFFIXES, is_archive, refuse_other_archives, stem
from tao_skill.storage.backends import store_for
from tao_skill.storage.cache_care import keep_within_limit
from tao_skill.storage.companions import find_companions, identity_of
from tao_skill.storage.entries import Entry, kept_of, make_entry, part_of, staged_folder, usable
from tao_skill.storage.fill import fill_from_archive, fill_from_files
from tao_skill.storage.locate import is_remote, local_path, redact
from tao_skill.storage.members import DEFAULT_LIMITS, Limits
from tao_skill.storage.nearest import missing
from tao_skill.storage.objects import ObjectFacts, ObjectStore
from tao_skill.storage.prefix import listing_identity, mirror
from tao_skill.storage.progress import in_words
from tao_skill.storage.small import patiently

__all__ = ["ARCHIVE_SUFFIXES", "entry_path", "is_archive", "stage"]

Fill = Callable[[Path, Path], int]

_log = logging.getLogger(__name__)


def stage(uri: str | Path, cache_dir: Path | None = None, limits: Limits = DEFAULT_LIMITS) -> Path:
    """Return a local path for ``uri``.

    Local folders and files stay where they are. An archive is extracted, a remote file fetched, and a prefix of
    remote objects mirrored, into the cache: once for each state of the object that the server tells, whole or not at
    all; a second process waits for the first. What belongs to a file (an engine's facts) comes with it. If all
    content of an archive lies in one top folder, that folder is returned.

    Raises:
        StorageError: nothing there, a kind of archive that can't be read, or what can't be fetched or extracted.
        NotAvailableError: a scheme that is not supported.
    """
    text = str(uri)
    refuse_other_archives(text)
    if not is_remote(text):
        path = local_path(text)
        if path.is_dir() or (path.is_file() and not is_archive(text)):
            return path
    store = store_for(text)
    facts = patiently(lambda: store.find(text))
    cache = cache_dir or cache_directory()
    if facts is None:
        return _stage_prefix(store, text, cache, limits).content
    entry = _stage_object(store, text, facts, cache, limits)
    if entry.marker.kind == "file":
        return entry.content / entry.marker.top[0]
    return _without_top_folder(entry, text)


def entry_path(cache: Path, uri: str, identity: str) -> Path:
    """Return where the entry of an object is, or would be."""
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", stem(uri))[:60]
    return cache / "staged" / f"{readable}-{identity[:24]}"


def _stage_object(store: ObjectStore, uri: str, facts: ObjectFacts, cache: Path, limits: Limits) -> Entry:
    companions = find_companions(store, uri, facts)
    identity = identity_of(uri, facts, companions)
    done = entry_path(cache, uri, identity)

    def make() -> Entry:
        def fill(content: Path, listing: Path) -> int:
            part = part_of(done)
            if is_archive(uri):
                return fill_from_archive(store, uri, facts, content, listing, part=part, limits=limits)
            return fill_from_files(store, [facts, *companions], content, listing, part=part)

        return make_entry(done, redact(uri), "archive" if is_archive(uri) else "file", identity, fill=fill)

    return _ensured(cache, uri, identity, done, make)


def _stage_prefix(store: ObjectStore, uri: str, cache: Path, limits: Limits) -> Entry:
    listed = is_remote(uri) and not is_archive(uri)
    objects = patiently(lambda: store.list(uri, limits.members + 1)) if listed else []
    if not objects:
        raise missing(store, uri)
    identity = listing_identity(uri, objects)
    done = entry_path(cache, uri, identity)

    def make() -> Entry:
        def fill(content: Path, listing: Path) -> int:
            return mirror(store, uri, objects, content, listing, limits=limits)

        return make_entry(done, redact(uri), "prefix", identity, fill=fill, kept=kept_of(done))

    return _ensured(cache, uri, identity, done, make)


def _ensured(cache: Path, uri: str, identity: str, done: Path, make: Callable[[], Entry]) -> Entry:
    """Return the whole entry at ``done``, made by this process or another one."""
    try:
        entry = usable(done, identity)
        if entry is None:
            staged_folder(cache)
            entry = _made(uri, identity, done, make)
            keep_within_limit(cache, entry)
        if not entry.use():  # pruned by another process since the look
            return _ensured(cache, uri, identity, done, make)
    except OSError as error:
        raise StorageError(
            f"The cache {cache} can't be written: {error.strerror or error}.",
            problems=[Problem(str(cache), str(error), "a folder that can be written, with space left")],
            next_step="set TAO_SKILL_CACHE to another folder",
        ) from error
    return entry


def _made(uri: str, identity: str, done: Path, make: Callable[[], Entry]) -> Entry:
    from filelock import FileLock, Timeout  # costs 0.1 s to import: only where something is made

    lock = FileLock(done.with_name(f"{done.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _log.info("%s: another process is at it; waiting", redact(uri))
        lock.acquire()
    try:
        entry = usable(done, identity)
        if entry is None:
            _log.info("staging %s", redact(uri))
            entry = make()
            _log.info("staged %s: %d files, %s", redact(uri), entry.marker.files, in_words(entry.marker.bytes))
    finally:
        lock.release()
    return entry


def _without_top_folder(entry: Entry, uri: str) -> Path:
    """Step into the one top folder, if it is a wrapping and not itself the only class of a data set.

    It wraps if it has the archive's name or holds folders; one with another name that holds files alone is a class.
    """
    top = entry.content / entry.marker.top[0]
    if len(entry.marker.top) != 1 or not top.is_dir():
        return entry.content
    wraps = top.name == stem(uri) or any(child.is_dir() for child in top.iterdir())
    return top if wraps else entry.content
