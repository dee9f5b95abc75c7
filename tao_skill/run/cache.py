"""Look after all that the cache holds: what the storage staged, and what trainings decoded."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tao_skill.metric_learning.data.pack_care import packs
from tao_skill.storage import cache_care
from tao_skill.storage.entries import Entry

__all__ = ["PIXEL_LIMIT", "list_cache", "prune_cache", "verify_cache"]

# Bounds the decoded images, of all trainings together.
PIXEL_LIMIT = "dataset.pixel_cache_gb"


def list_cache(cache: Path) -> dict[str, Any]:
    """Return the entries, the longest unused first, with their bytes and limits."""
    staged, pixels = [_row(entry) for entry in cache_care.entries(cache)], [_row(pack) for pack in packs(cache)]
    return {
        "cache": str(cache),
        "bytes": sum(one["bytes"] for one in staged),
        "limit": cache_care.cache_limit(cache),
        "entries": staged,
        "pixels": {
            "bytes": sum(one["bytes"] for one in pixels),
            "limit_setting": PIXEL_LIMIT,
            "entries": pixels,
        },
    }


def prune_cache(cache: Path, *, to_bytes: int | None, unused_days: float | None) -> dict[str, Any]:
    """Remove what no process uses, the longest unused first, and return what went; see ``cache_care.prune``."""
    others = packs(cache)
    rows = {id(one): _row(one) for one in others}  # how many images they hold can't be told afterwards
    gone, leftovers = cache_care.prune(cache, to_bytes=to_bytes, unused_days=unused_days, others=others)
    removed = [rows.get(id(one)) or _row(one) for one in gone]
    return {"removed": removed, "bytes": sum(one["bytes"] for one in removed), "leftovers": leftovers}


def verify_cache(cache: Path, *, repair: bool) -> dict[str, Any]:
    """Read every byte; ``repair`` removes what is damaged, so that it is fetched or decoded anew."""
    findings = [(_row(one.entry), one.problems, one.removed) for one in cache_care.verify(cache, repair=repair)]
    for pack in packs(cache):
        row, problems = _row(pack), pack.problems()
        findings.append((row, problems, repair and bool(problems) and pack.remove()))
    damaged = [row | {"problems": problems} for row, problems, _ in findings if problems]
    # What a process uses stays.
    repaired = bool(damaged) and all(removed for _, problems, removed in findings if problems)
    return {"checked": len(findings), "damaged": damaged, "repaired": repaired}


def _row(one: Any) -> dict[str, Any]:
    """Return what is told of an entry, or of a file of decoded images."""
    if isinstance(one, Entry):
        told = {"uri": one.marker.uri, "kind": one.marker.kind, "files": one.marker.files, "path": str(one.content)}
    else:
        told = {"uri": "decoded images", "kind": "pixels", "files": one.images(), "path": str(one.path)}
    used = datetime.fromtimestamp(one.used_at, UTC).isoformat(timespec="seconds")
    return told | {"bytes": one.bytes, "used_at": used}
