"""`schema`: the JSON Schema of an action."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from tao_skill.cli.arguments import add_action, add_skill
from tao_skill.cli.outcome import Outcome, json_text

__all__ = ["add_to"]


def add_to(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "schema",
        help="print the JSON Schema of an action",
        description="Print the JSON Schema of an action's spec.",
        parents=parents,
    )
    add_action(parser)
    add_skill(parser)
    parser.set_defaults(call=_schema)


def _schema(options: argparse.Namespace) -> Outcome:
    from tao_skill.bank.skill import find_skill

    document = find_skill(options.skill).schema(options.action)
    return Outcome(document, json_text(document))
