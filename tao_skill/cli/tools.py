"""`tools`: the tool definitions, in the form that an agent's host reads."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from tao_skill.cli.outcome import Outcome, json_text

__all__ = ["add_to"]

_FORMATS = ("bank", "openai", "anthropic", "mcp")


def add_to(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "tools",
        help="print the tool definitions for an agent",
        description="Print the definitions of the tools that an agent may call, as JSON.",
        parents=parents,
    )
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        default="bank",
        help="openai: chat completions; anthropic: messages; mcp: tools/list; bank: with answers and errors (default)",
    )
    parser.set_defaults(call=_tools)


def _tools(options: argparse.Namespace) -> Outcome:
    from tao_skill.agent.definitions import FORMATS, packaged_definitions

    document: Any = packaged_definitions()
    if options.format != "bank":
        document = [FORMATS[options.format](tool) for tool in document["tools"]]
    if options.format == "mcp":
        document = {"tools": document}
    return Outcome(document, json_text(document))
