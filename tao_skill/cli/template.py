"""`template`: the spec of an action with all its defaults."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from tao_skill.cli.arguments import add_action, add_skill
from tao_skill.cli.outcome import Outcome

__all__ = ["add_to"]


def add_to(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "template",
        help="print the spec of an action with all defaults",
        description="Print the spec of an action with all defaults, as YAML.",
        parents=parents,
    )
    add_action(parser)
    add_skill(parser)
    parser.set_defaults(call=_template)


def _template(options: argparse.Namespace) -> Outcome:
    from tao_skill.bank.skill import find_skill
    from tao_skill.config.yaml_text import dump_yaml

    document = find_skill(options.skill).template(options.action)
    return Outcome(document, dump_yaml(document))
