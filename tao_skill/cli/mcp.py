"""`mcp`: serve the tools to MCP clients."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from tao_skill.cli.call import allow_root_option
from tao_skill.cli.outcome import Outcome
from tao_skill.errors import NotAvailableError
from tao_skill.installation import install_command

__all__ = ["add_to"]

_PORT = 8765


def add_to(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "mcp",
        help="serve the tools to MCP clients, over stdio or HTTP",
        description="Serve the tools to MCP clients: one over stdin and stdout, or many over streamable HTTP. HTTP is "
        "for this machine only, unless --host says otherwise; then $TAO_SKILL_MCP_TOKEN must hold the token that "
        "clients send as 'Authorization: Bearer TOKEN'. Encrypt it with a proxy in front where others can listen.",
        parents=parents,
    )
    parser.add_argument("--http", action="store_true", help="serve streamable HTTP at /mcp instead of stdio")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=_PORT, help=f"port to listen on; 0 takes a free one ({_PORT})")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="further host name that clients may use"
    )
    allow_root_option(parser)
    parser.set_defaults(call=_serve)


def _serve(options: argparse.Namespace) -> Outcome:
    from tao_skill.agent.desk import Desk

    desk = Desk.of(options.allow_root)
    try:
        import anyio

        from tao_skill.agent.http import TOKEN_VARIABLE, serve_http
        from tao_skill.agent.server import serve_stdio
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("tao_skill"):
            raise
        raise NotAvailableError(
            f"The package {error.name} is not installed, which mcp needs.", next_step=install_command("mcp")
        ) from error
    if options.http:
        token = os.environ.get(TOKEN_VARIABLE, "")
        names = {"token": token, "names": options.allow_host, "ready": _say}
        anyio.run(partial(serve_http, desk, options.host, options.port, **names))
    else:
        anyio.run(serve_stdio, desk)
    return Outcome({"served": True})


def _say(url: str) -> None:
    print(f"Serving MCP at {url}", file=sys.stderr, flush=True)
