"""The MCP server over streamable HTTP: on this machine only unless told otherwise, and then for holders of a token."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings

from tao_skill.agent.desk import Desk
from tao_skill.agent.server import build_server
from tao_skill.errors import Problem, UsageError

__all__ = ["TOKEN_VARIABLE", "is_loopback", "serve_http"]

TOKEN_VARIABLE = "TAO_SKILL_MCP_TOKEN"
_SHORTEST_TOKEN = 16
_WILDCARDS = ("0.0.0.0", "::")
_LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


async def serve_http(
    desk: Desk, host: str, port: int, *, token: str, names: Sequence[str], ready: Callable[[str], None]
) -> None:
    """Serve any number of clients until the process is told to end.

    ``names`` are further names that clients may know this machine by; others are refused, so that a web page can't
    reach the server through a name that it points here. ``ready`` gets the URL once clients can connect.

    Raises:
        UsageError: an address beyond this machine without a token, a token that is too short, or an address in use.
    """
    _check_token(host, token)
    listener = _listen(host, port)
    port = listener.getsockname()[1]
    bare = host.strip("[]")
    shown = f"[{bare}]" if ":" in bare else bare
    # By a wildcard nobody calls the machine, but by its own names.
    own: tuple[str, ...] = _LOCAL_NAMES if is_loopback(host) else ()
    if bare in _WILDCARDS:
        own = (*_LOCAL_NAMES, socket.gethostname(), socket.gethostname().lower())
    known = [*own, shown, *names]
    hosts = [form for name in known for form in (name, f"{name}:{port}")]
    security = TransportSecuritySettings(
        allowed_hosts=hosts, allowed_origins=[f"{scheme}://{one}" for one in hosts for scheme in ("http", "https")]
    )
    app = build_server(desk).streamable_http_app(host=host, transport_security=security)
    guarded: Any = _Guard(app, token) if token else app
    server = uvicorn.Server(uvicorn.Config(guarded, log_level="warning", timeout_graceful_shutdown=5))
    ready(f"http://{shown}:{port}/mcp")
    await server.serve(sockets=[listener])


class _Guard:
    """Let only requests through that carry the token."""

    def __init__(self, app: App, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(
        self, scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Answer 401 to whoever has no token; the server's own start and end pass."""
        if scope["type"] == "lifespan" or self._is_known(scope):
            await self._app(scope, receive, send)
            return
        headers = [(b"www-authenticate", b"Bearer"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"error": "a bearer token is needed"}'})

    def _is_known(self, scope: Scope) -> bool:
        given = [value for name, value in scope.get("headers", ()) if name == b"authorization"]
        return len(given) == 1 and hmac.compare_digest(given[0], self._expected)


def _check_token(host: str, token: str) -> None:
    if not token and not is_loopback(host):
        raise UsageError(
            f"{host} can be reached from other machines, so clients need a token.",
            problems=[Problem(TOKEN_VARIABLE, "", f"a secret text of at least {_SHORTEST_TOKEN} letters")],
            next_step=f"set {TOKEN_VARIABLE}, or leave --host out",
        )
    if token and (len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
        raise UsageError(
            f"The token in {TOKEN_VARIABLE} can't be used.",
            problems=[Problem(TOKEN_VARIABLE, "***", f"at least {_SHORTEST_TOKEN} ASCII letters without blanks")],
        )


def _listen(host: str, port: int) -> socket.socket:
    bare = host.strip("[]")
    try:
        if not 0 <= port <= 65535:  # the library leaves a socket open when it finds that out by itself
            raise OSError("a port is a number from 0 to 65535")
        family = socket.AF_INET6 if ":" in bare else socket.AF_INET
        return socket.create_server((bare, port), family=family)
    except OSError as error:
        raise UsageError(
            f"{host}:{port} can't be listened on: {error}.", next_step="give another --port, or 0 for any that is free"
        ) from error
