"""`call`: one tool call, JSON in and JSON out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from tao_skill.cli.outcome import Outcome, exit_code_of, json_text
from tao_skill.errors import UsageError

__all__ = ["add_to", "allow_root_option"]


def add_to(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "call",
        help="call a tool with JSON and get JSON",
        description="Call one of the tools that `tools` lists. Prints exactly one JSON document: the answer, or "
        '{"error": ...} with what is wrong, what is allowed and the call to make next.',
        parents=parents,
    )
    parser.add_argument("tool", help="name of the tool, such as plan")
    parser.add_argument("arguments", nargs="?", metavar="JSON", help="its arguments; nothing: {}; - reads stdin")
    allow_root_option(parser)
    parser.set_defaults(call=_call)


def allow_root_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where an agent may reach."""
    parser.add_argument(
        "--allow-root",
        action="append",
        default=[],
        metavar="PLACE",
        help="folder or URI below which paths may lie; may be repeated (default: $TAO_SKILL_ALLOWED_ROOTS, separated "
        "by semicolons, else the working folder); the default results root is always allowed",
    )


def _call(options: argparse.Namespace) -> Outcome:
    from tao_skill.agent.call import call_tool, failed_reply, read_arguments
    from tao_skill.agent.desk import Desk

    try:
        text = _arguments(options.arguments or "")
        reply = call_tool(options.tool, read_arguments(text), Desk.of(options.allow_root))
    except Exception as error:
        reply = failed_reply(error, options.tool, {})
    code = exit_code_of(reply.document["error"]["code"]) if reply.failed else 0
    return Outcome(reply.document, json_text(reply.document), code)


def _arguments(given: str) -> str:
    if given != "-":  # only where it is asked for: in an agent's shell stdin may be a pipe that nobody ever closes
        return given
    try:
        return "" if sys.stdin is None else sys.stdin.read()
    except UnicodeDecodeError as error:
        raise UsageError("The arguments on stdin are no text in UTF-8.", next_step="give them as UTF-8") from error
