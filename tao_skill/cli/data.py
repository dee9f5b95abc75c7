"""`data`: bring inputs here, check them, and look after the cache they are kept in."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tao_skill.cli import data_check
from tao_skill.cli.outcome import Outcome
from tao_skill.errors import StorageError

__all__ = ["add_to"]


def add_to(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "data", help="check data; bring inputs to this machine; list, prune or verify the cache", parents=parents
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True, dest="verb")
    stage = verbs.add_parser("stage", help="bring URIs here as a run would, and print the local paths", parents=parents)
    stage.add_argument("uris", nargs="+", metavar="URI", type=_uri, help="path, file://, s3:// or http(s)://")
    stage.set_defaults(call=_stage)
    data_check.add_to(verbs, parents)
    cache = verbs.add_parser("cache", help="what was fetched, extracted and decoded", parents=parents)
    inner = cache.add_subparsers(title="verbs", metavar="VERB", required=True, dest="inner")
    inner.add_parser("list", help="entries, the longest unused first", parents=parents).set_defaults(call=_list)
    prune = inner.add_parser("prune", help="remove entries that no process uses: all, or by a limit", parents=parents)
    prune.add_argument("--to", metavar="SIZE", help="remove the longest unused until so much is left, such as 50GB")
    prune.add_argument("--unused-days", type=_days, metavar="N", help="remove what nobody asked for in N days")
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


def _uri(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty text is no URI: a path, file://, s3:// or http(s):// is expected")
    return text


def _cache() -> Path:
    from tao_skill.config.cache_folder import cache_directory

    return cache_directory()


def _list(_options: argparse.Namespace) -> Outcome:
    from tao_skill.run.cache import PIXEL_LIMIT, list_cache
    from tao_skill.storage.cache_care import LIMIT_VARIABLE
    from tao_skill.storage.progress import in_words

    found = list_cache(_cache())
    pixels = found["pixels"]
    lines = [
        f"{one['used_at'][:10]}  {in_words(one['bytes']):>9}  {one['files']:>7} files  {one['uri']}"
        for one in [*found["entries"], *pixels["entries"]]
    ]
    held, limit, cache = in_words(found["bytes"]), in_words(found["limit"]), found["cache"]
    lines.append(f"{held} of at most {limit} in {cache}/staged ({LIMIT_VARIABLE})")
    lines.append(f"{in_words(pixels['bytes'])} in {cache}/pixels, which each training's {PIXEL_LIMIT} bounds")
    return Outcome(found, "\n".join(lines))


def _prune(options: argparse.Namespace) -> Outcome:
    from tao_skill.run.cache import prune_cache
    from tao_skill.storage.cache_care import parse_bytes
    from tao_skill.storage.progress import in_words

    to_bytes = None if options.to is None else parse_bytes(options.to, "--to")
    gone = prune_cache(_cache(), to_bytes=to_bytes, unused_days=options.unused_days)
    freed = f"{len(gone['removed'])} entries ({in_words(gone['bytes'])})"
    return Outcome(gone, f"Removed {freed} and {gone['leftovers']} leftovers of broken transfers.")


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = math.nan
    if not 0 <= days < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days: 0 or more is expected")
    return days


def _verify(options: argparse.Namespace) -> Outcome:
    from tao_skill.run.cache import verify_cache

    found = verify_cache(_cache(), repair=options.repair)
    bad, left = found["damaged"], found["damaged"] and not found["repaired"]
    lines = [f"{found['checked']} entries checked, {len(bad)} damaged"]
    lines += [f"{one['uri']}: {problem}" for one in bad for problem in one["problems"][:10]]
    if left:
        when = "   # again, when nothing uses what is left, by whom it belongs to" if options.repair else ""
        lines.append(f"Next: python -m tao_skill data cache verify --repair{when}")
    return Outcome(found, "\n".join(lines), StorageError.exit_code if left else 0)
