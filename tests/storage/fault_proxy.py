"""A TCP proxy between client and server that counts, and breaks what it is told to break."""

import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

KINDS = ("reset", "stall", "error 500", "error 503", "truncated", "wrong bytes", "refused")
_SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
_INTERNAL = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>We hit an error.</Message></Error>"


@dataclass(frozen=True)
class Request:
    """What the proxy sees of one request."""

    method: str
    target: str
    range: tuple[int, int] | None

    @property
    def stage(self) -> str:
        """Name the step of a transfer that this request belongs to."""
        if self.method == "GET":
            return "list" if "list-type" in self.target else "read"
        if self.method == "HEAD":
            return "look"
        return {"PUT": "write part" if "partNumber" in self.target else "write", "POST": "write ends"}.get(
            self.method, self.method
        )


@dataclass(frozen=True)
class Fault:
    """How an answer (or, with ``upward``, a request) is broken, after so many bytes of its body."""

    kind: str
    after: int = 0
    upward: bool = False


@dataclass
class FaultProxy:
    """Listens on loopback; ``plan`` decides for each request what is to go wrong."""

    upstream: int
    plan: Callable[[Request], Fault | None] = lambda _request: None
    stall_seconds: float = 3.0
    seen: list[Request] = field(default_factory=list)
    injected: list[tuple[str, str]] = field(default_factory=list)
    down_bytes: int = 0

    def __enter__(self) -> "FaultProxy":
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._open = True
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while self._open:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client:
                self._exchange(client)
        except OSError:
            return

    def _exchange(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(65536)
            if not piece:
                return
            head += piece
        head, _, rest = head.partition(b"\r\n\r\n")
        request = _parse(head)
        self.seen.append(request)
        fault = self.plan(request)
        if fault is not None:
            self.injected.append((request.stage, fault.kind))
            if fault.kind == "refused":
                _reset(client)
                return
            if fault.kind.startswith("error"):
                _answer(client, fault.kind)
                return
        head = re.sub(rb"(?im)^connection:.*\r\n", b"", head) + b"\r\nConnection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.upstream)) as server:
            server.sendall(head + rest)
            up = fault if fault is not None and fault.upward else None
            thread = threading.Thread(target=self._upward, args=(client, server, up, len(rest)), daemon=True)
            thread.start()
            self._downward(server, client, None if up else fault)

    def _upward(self, client: socket.socket, server: socket.socket, fault: Fault | None, passed: int) -> None:
        with contextlib.suppress(OSError):
            while piece := client.recv(65536):
                passed += len(piece)
                if fault is not None and passed >= fault.after:
                    if fault.kind == "stall":
                        time.sleep(self.stall_seconds)
                    _reset(client)
                    _reset(server)
                    return
                server.sendall(piece)

    def _downward(self, server: socket.socket, client: socket.socket, fault: Fault | None) -> None:
        body = -1  # bytes of the body so far; the head has none
        buffered = b""
        while piece := server.recv(65536):
            if body < 0:
                buffered += piece
                if b"\r\n\r\n" not in buffered:
                    continue
                head, _, piece = buffered.partition(b"\r\n\r\n")
                if re.match(rb"HTTP/1\.1 100", head):
                    client.sendall(head + b"\r\n\r\n")
                    if b"\r\n\r\n" not in piece:
                        buffered = piece
                        continue
                    head, _, piece = piece.partition(b"\r\n\r\n")
                # As the connection is for one request: a client that doesn't know would send another one.
                head = re.sub(rb"(?im)^connection:.*(\r\n|$)", b"", head).rstrip(b"\r\n")
                client.sendall(head + b"\r\nConnection: close\r\n\r\n")
                body = 0
            if fault is not None and body + len(piece) > fault.after:
                cut = fault.after - body
                if fault.kind == "wrong bytes":
                    broken = bytearray(piece)
                    broken[max(cut, 0)] ^= 0x5A
                    piece, fault = bytes(broken), None
                else:
                    client.sendall(piece[:cut])
                    if fault.kind == "stall":
                        time.sleep(self.stall_seconds)
                    if fault.kind == "reset":
                        time.sleep(0.02)
                        _reset(client)
                    return
            body += len(piece)
            self.down_bytes += len(piece)
            client.sendall(piece)


def _parse(head: bytes) -> Request:
    first = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    asked = re.search(rb"(?im)^range: bytes=(\d+)-(\d*)", head)
    span = (int(asked[1]), int(asked[2] or -1)) if asked else None
    return Request(first[0], first[1], span)


def _answer(client: socket.socket, kind: str) -> None:
    body = _SLOW_DOWN if "503" in kind else _INTERNAL
    line = b"503 Slow Down" if "503" in kind else b"500 Internal Server Error"
    head = b"HTTP/1.1 " + line + b"\r\nContent-Type: application/xml\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    client.sendall(head % len(body) + body)
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_WR)
        client.settimeout(1)
        while client.recv(65536):
            pass


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
