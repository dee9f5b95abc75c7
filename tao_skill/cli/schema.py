"""`schema`: the JSON Schema of an action."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from tao_skill.cli.outcome import Outcome

__all__ = ["add_to"]


def add_to(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "schema",
        help="print the JSON Schema of an action",
        description="Print the JSON Schema of an action's spec.",
        parents=parents,
    )
    parser.add_argument("action", help="train, evaluate, inference, export or gen_trt_engine")
    parser.add_argument("--skill", metavar="NAME", help="skill to use (default: the recognition skill)")
    parser.set_defaults(call=_schema)


def _schema(options: argparse.Namespace) -> Outcome:
    from tao_skill.bank.skill import find_skill

    document = find_skill(options.skill).schema(options.action)
    return Outcome(document, json.dumps(document, indent=2, ensure_ascii=False))
