"""Look after the cache: list it, keep it small, check every byte of it."""

import logging
import os
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tao_skill.errors import Problem, StorageError
from tao_skill.storage.checksums import length_and_crc
from tao_skill.storage.entries import Entry, entry_at, remove_leftovers
from tao_skill.storage.progress import in_words

__all__ = [
    "LIMIT_VARIABLE",
    "Finding",
    "Removable",
    "cache_limit",
    "entries",
    "keep_within_limit",
    "parse_bytes",
    "prune",
    "verify",
]

LIMIT_VARIABLE = "TAO_SKILL_CACHE_LIMIT"
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    """What is wrong with one entry, and whether it was removed for that; ``problems`` is empty for a good one."""

    entry: Entry
    problems: list[str]
    removed: bool = False


class Removable(Protocol):
    """What lies in the cache and can go; ``remove`` says whether it did, which it doesn't while a process uses it."""

    @property
    def bytes(self) -> int: ...

    @property
    def used_at(self) -> float: ...

    def remove(self) -> bool: ...


def entries(cache: Path) -> list[Entry]:
    """Return all whole entries, the longest unused first."""
    staged = cache / "staged"
    if not staged.is_dir():
        return []
    found = [entry for path in staged.iterdir() if not path.name.endswith(".partial") and (entry := entry_at(path))]
    return sorted(found, key=lambda entry: entry.used_at)


def cache_limit(cache: Path) -> int:
    """Return how many bytes the cache may hold: ``$TAO_SKILL_CACHE_LIMIT`` (``200GB``), else half of the disk.

    Raises:
        StorageError: the variable holds no size.
    """
    named = os.environ.get(LIMIT_VARIABLE, "").strip()
    return parse_bytes(named, LIMIT_VARIABLE) if named else shutil.disk_usage(cache).total // 2


def parse_bytes(text: str, key: str) -> int:
    """Return the number of bytes that ``200GB`` or ``1500000`` means.

    Raises:
        StorageError: it means none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?B?)", text.strip().upper())
    unit = None if match is None else match[2] if match[2] in _UNITS else f"{match[2]}B"
    if match is None or unit not in _UNITS:
        raise StorageError(
            f"{text!r} is no size.",
            problems=[Problem(key, text, "a number of bytes, or such as 500MB or 200GB")],
            next_step=f"{key}=200GB",
        )
    return int(float(match[1]) * _UNITS[unit])


def keep_within_limit(cache: Path, keep: Entry) -> None:
    """Remove the longest unused entries until the cache is within its limit; never ``keep`` or one in use."""
    limit = cache_limit(cache)
    everything = entries(cache)
    total = sum(entry.marker.bytes for entry in everything)
    for entry in everything:
        if total <= limit:
            return
        if entry.folder != keep.folder and entry.remove():
            total -= entry.marker.bytes
            _log.info("cache: removed %s (%s)", entry.marker.uri, in_words(entry.marker.bytes))
    if total > limit:
        _log.warning("The cache holds %s, more than its limit of %s.", in_words(total), in_words(limit))


def prune(
    cache: Path, *, to_bytes: int | None = None, unused_days: float | None = None, others: Sequence[Removable] = ()
) -> tuple[list[Removable], int]:
    """Remove entries and return them, with the number of leftovers of dead processes that went too.

    ``unused_days`` takes those that nobody asked for since; ``to_bytes`` the longest unused until so much is left;
    neither means all. Entries in use stay. ``others`` lie in the same cache and are treated alike.
    """
    everything = sorted([*entries(cache), *others], key=lambda one: one.used_at)
    gone: list[Removable] = []
    left = sum(one.bytes for one in everything)
    before = time.time() - (unused_days or 0) * 86400
    for one in everything:
        too_old = unused_days is not None and one.used_at < before
        too_much = to_bytes is not None and left > to_bytes
        everything_goes = unused_days is None and to_bytes is None
        if (too_old or too_much or everything_goes) and one.remove():
            gone.append(one)
            left -= one.bytes
    return gone, remove_leftovers(cache / "staged")


def verify(cache: Path, *, repair: bool = False) -> list[Finding]:
    """Read every byte of every entry and compare; ``repair`` removes what is damaged, so that it is fetched anew."""
    findings: list[Finding] = []
    for entry in entries(cache):
        problems = _damage(entry)
        removed = repair and bool(problems) and (entry.remove() or not entry.folder.exists())
        if repair and problems and not removed:
            _log.warning("%s is damaged, but in use or another user's, so it stays.", entry.folder)
        findings.append(Finding(entry, problems, removed))
    return findings


def _damage(entry: Entry) -> list[str]:
    problems: list[str] = []
    listed: set[str] = set()
    try:
        for path, length, total in entry.listed():
            listed.add(path)
            try:
                found = length_and_crc(entry.content / path)
            except OSError:
                problems.append(f"{path} is missing")
                continue
            if found != (length, total):
                problems.append(f"{path} has changed")
    except (OSError, ValueError):
        problems.append("the list of its files can't be read")
    for place, _, names in os.walk(entry.content):
        for name in names:
            path = (Path(place) / name).relative_to(entry.content).as_posix()
            if path not in listed and not entry.is_extra(path):
                problems.append(f"{path} does not belong to it")
    return problems
