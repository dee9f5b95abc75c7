"""`skills`: what the bank holds."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from typing import Any

from tao_skill.cli.outcome import Outcome

__all__ = ["add_to"]


def add_to(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("skills", help="list the skills", description="List the skills.", parents=parents)
    parser.set_defaults(call=_list)


def _list(_options: argparse.Namespace) -> Outcome:
    from tao_skill.bank.skill import list_summaries

    found = list_summaries()
    document = {
        "skills": [
            {
                "name": one.name,
                "description": one.description,
                "skill_dir": str(one.directory),
                "trains_a_model": one.is_model,
            }
            for one in found
        ]
    }
    text = "\n".join(f"{one.name}\n{textwrap.indent(textwrap.fill(one.description, 100), '  ')}" for one in found)
    return Outcome(document, text or "The bank holds no skills.")
