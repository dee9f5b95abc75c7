"""`validate`: is a spec file right?"""

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
        "validate",
        help="check a spec file and tell everything that is wrong with it",
        description="Check a spec file (YAML or JSON, nested or dotted keys) and tell all that is wrong with it.",
        parents=parents,
    )
    parser.add_argument("spec", help="YAML or JSON file")
    add_action(parser, "--action")
    add_skill(parser)
    parser.set_defaults(call=_validate)


def _validate(options: argparse.Namespace) -> Outcome:
    from tao_skill.bank.skill import find_skill
    from tao_skill.config.check import check_spec
    from tao_skill.config.keys import nest
    from tao_skill.config.wording import counted
    from tao_skill.errors import SpecError
    from tao_skill.run.overrides import flat_overrides, read_document

    schema = find_skill(options.skill).schema(options.action)
    problems, warnings = check_spec(options.action, nest(flat_overrides(read_document(options.spec))), schema)
    if problems:
        raise SpecError(
            f"{options.spec} has {counted(len(problems), 'problem')}.",
            problems=problems,
            next_step=f"python -m tao_skill schema {options.action} tells every key with its bounds",
        )
    document = {"valid": True, "action": options.action, "spec": options.spec, "warnings": warnings}
    lines = [f"{options.spec} is a valid {options.action} spec.", *(f"  note: {warning}" for warning in warnings)]
    return Outcome(document, "\n".join(lines))
