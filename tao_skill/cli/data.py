"""`data`: bring inputs here, check them, and look after the cache they are kept in."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tao_skill.cli import data_check
from tao_skill.cli.outcome import Outcome
from tao_skill.errors import StorageError

__all__ = ["add_to"]

PIXEL_LIMIT = "dataset.pixel_cache_gb"


def add_to(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "data", help="check data; bring inputs to this machine; list, prune or verify the cache", parents=parents
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True, dest="verb")
    stage = verbs.add_parser("stage", help="bring URIs here as a run would, and print the local paths", parents=parents)
    stage.add_argument("uris", nargs="+", metavar="URI", help="path, file://, s3:// or http(s)://")
    stage.set_defaults(call=_stage)
    data_check.add_to(verbs, parents)
    cache = verbs.add_parser("cache", help="what was fetched, extracted and decoded", parents=parents)
    inner = cache.add_subparsers(title="verbs", metavar="VERB", required=True, dest="inner")
    inner.add_parser("list", help="entries, the longest unused first", parents=parents).set_defaults(call=_list)
    prune = inner.add_parser("prune", help="remove entries that no process uses: all, or by a limit", parents=parents)
    prune.add_argument("--to", metavar="SIZE", help="remove the longest unused until so much is left, such as 50GB")
    prune.add_argument("--unused-days", type=float, metavar="N", help="remove what nobody asked for in N days")
    prune.set_defaults(call=_prune)
    verify = inner.add_parser("verify", help="read every byte and compare with what came", parents=parents)
    verify.add_argument("--repair", action="store_true", help="remove damaged entries, so that they are fetched anew")
    verify.set_defaults(call=_verify)


def _stage(options: argparse.Namespace) -> Outcome:
    from tao_skill.cli.progress import show_log
    from tao_skill.run.stage import stage_all
    from tao_skill.storage.locate import redact

    show_log("debug" in options)
    paths = stage_all(options.uris)
    document = {"staged": [{"uri": redact(uri), "path": path} for uri, path in zip(options.uris, paths, strict=True)]}
    return Outcome(document, "\n".join(paths))


def _cache() -> Path:
    from tao_skill.config.cache_folder import cache_directory

    return cache_directory()


def _list(_options: argparse.Namespace) -> Outcome:
    from tao_skill.metric_learning.data.pack_care import packs
    from tao_skill.storage.cache_care import LIMIT_VARIABLE, cache_limit, entries
    from tao_skill.storage.progress import in_words

    cache = _cache()
    staged, pixels = [_row(entry) for entry in entries(cache)], [_row(pack) for pack in packs(cache)]
    held, decoded = (sum(one["bytes"] for one in found) for found in (staged, pixels))
    lines = [
        f"{one['used_at'][:10]}  {in_words(one['bytes']):>9}  {one['files']:>7} files  {one['uri']}"
        for one in [*staged, *pixels]
    ]
    lines.append(f"{in_words(held)} of at most {in_words(cache_limit(cache))} in {cache / 'staged'} ({LIMIT_VARIABLE})")
    lines.append(
        f"{in_words(decoded)} in {cache / 'pixels'} (decoded images; each training's {PIXEL_LIMIT} bounds them)"
    )
    document = {"cache": str(cache), "bytes": held, "limit": cache_limit(cache), "entries": staged}
    document["pixels"] = {"bytes": decoded, "limit_setting": PIXEL_LIMIT, "entries": pixels}
    return Outcome(document, "\n".join(lines))


def _prune(options: argparse.Namespace) -> Outcome:
    from tao_skill.metric_learning.data.pack_care import packs
    from tao_skill.storage.cache_care import parse_bytes, prune
    from tao_skill.storage.progress import in_words

    to_bytes = None if options.to is None else parse_bytes(options.to, "--to")
    others = packs(_cache())
    rows = {id(one): _row(one) for one in others}  # how many images they hold can't be told afterwards
    gone, leftovers = prune(_cache(), to_bytes=to_bytes, unused_days=options.unused_days, others=others)
    removed = [rows.get(id(one)) or _row(one) for one in gone]
    freed = sum(one["bytes"] for one in removed)
    text = f"Removed {len(removed)} entries ({in_words(freed)}) and {leftovers} leftovers of broken transfers."
    return Outcome({"removed": removed, "bytes": freed, "leftovers": leftovers}, text)


def _verify(options: argparse.Namespace) -> Outcome:
    from tao_skill.metric_learning.data.pack_care import packs
    from tao_skill.storage.cache_care import verify

    findings = [(_row(one.entry), one.problems) for one in verify(_cache(), repair=options.repair)]
    for pack in packs(_cache()):
        problems = pack.problems()
        findings.append((_row(pack), problems))
        if problems and options.repair:
            pack.remove()
    bad = [(row, problems) for row, problems in findings if problems]
    document = {
        "checked": len(findings),
        "damaged": [row | {"problems": problems} for row, problems in bad],
        "repaired": bool(bad and options.repair),
    }
    lines = [f"{len(findings)} entries checked, {len(bad)} damaged"]
    lines += [f"{row['uri']}: {problem}" for row, problems in bad for problem in problems[:10]]
    if bad and not options.repair:
        lines.append("Next: python -m tao_skill data cache verify --repair")
    return Outcome(document, "\n".join(lines), StorageError.exit_code if bad and not options.repair else 0)


def _row(one: Any) -> dict[str, Any]:
    """Return what is told of an entry, or of a file of decoded images."""
    from tao_skill.storage.entries import Entry

    if isinstance(one, Entry):
        told = {"uri": one.marker.uri, "kind": one.marker.kind, "files": one.marker.files, "path": str(one.content)}
    else:
        told = {"uri": "decoded images", "kind": "pixels", "files": one.images(), "path": str(one.path)}
    used = datetime.fromtimestamp(one.used_at, UTC).isoformat(timespec="seconds")
    return told | {"bytes": one.bytes, "used_at": used}
