"""`data check`: what is wrong or odd with data, before anybody trains on it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from tao_skill.cli.outcome import Outcome
from tao_skill.errors import DataError

__all__ = ["add_to"]

_EXAMPLES = """examples:
  python -m tao_skill data check --data-root /data
  python -m tao_skill data check --train shelf/train --reference catalogue --query shelf/test --json

Exit code 4: something is wrong that would stop a run. Warnings alone: 0.
"""
_LISTED = 20


def add_to(verbs: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the verb to the parser of `data`."""
    parser = verbs.add_parser(
        "check",
        help="look at every image: counts, damage, class names, duplicates, sizes",
        description="Look at every image of the data sets, without training anything.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=parents,
    )
    parser.add_argument("--data-root", metavar="URI", help="where the skill's data sources lie")
    parser.add_argument("--action", choices=["train", "evaluate"], help="only what this action reads below the root")
    for role, what in (("train", "training images"), ("reference", "reference images"), ("query", "query images")):
        parser.add_argument(f"--{role}", metavar="URI", help=f"{what}: a folder of class folders, or an archive")
    parser.add_argument("--class-map", metavar="FILE", help="YAML file that maps folder names to class names")
    parser.add_argument("--workers", type=int, default=4, metavar="N", help="threads that read images (default: 4)")
    parser.set_defaults(call=_check)


def _check(options: argparse.Namespace) -> Outcome:
    from tao_skill.cli.progress import show_log
    from tao_skill.run.data_check import DataCheckRequest, check_data

    show_log("debug" in options)
    report = check_data(
        DataCheckRequest(
            data_root=options.data_root,
            action=options.action,
            train=options.train,
            reference=options.reference,
            query=options.query,
            class_map=options.class_map,
            workers=max(options.workers, 1),
        )
    )
    return Outcome(report, _text(report), 0 if report["ok"] else DataError.exit_code)


def _text(report: dict[str, Any]) -> str:
    lines = [line for one in report["sets"] for line in _set_lines(one)]
    lines += [
        f"{one['query']} and {one['reference']}: {one['shared']} classes in both, {one['only_reference']} only in the "
        "reference"
        for one in report["names"]
    ]
    lines += [f"warning: {warning}" for warning in report["warnings"]]
    problems = report["problems"]
    lines += [f"problem: {one['key']} = {one['value']!r}: {one['expected']}" for one in problems[:_LISTED]]
    if len(problems) > _LISTED:
        lines.append(f"problem: {len(problems) - _LISTED} more; --json lists them")
    found = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
    lines.append(f"{found}, {len(report['warnings'])} warnings" if problems or report["warnings"] else "All is well.")
    return "\n".join(lines)


def _set_lines(one: dict[str, Any]) -> list[str]:
    if "images" not in one:
        return [f"{one['name']}: can't be used ({one['path']})"]
    each = one["images_per_class"]
    lines = [
        f"{one['name']}: {one['images']} images of {one['classes']} classes, {_range(each, ' to ')} each, "
        f"median {each['median']:g} ({one['path']})"
    ]
    if one["width"]:
        sizes = " x ".join(_range(one[side], "…") for side in ("width", "height"))
        kinds = ", ".join(f"{count} {kind}" for kind, count in one["formats"].items())
        lines.append(f"  {sizes} pixels, {one['bytes'] / 1e6:.1f} MB, {kinds}")
    return lines


def _range(found: dict[str, float], between: str) -> str:
    low, high = f"{found['min']:g}", f"{found['max']:g}"
    return low if low == high else f"{low}{between}{high}"
