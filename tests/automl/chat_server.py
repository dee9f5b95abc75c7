"""A server that speaks the protocol of chat completions over real sockets, well or badly, as it is told."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Request"], None]
# What must never be written down.
KEY = "sk-very-secret-0123456789"


@dataclass
class Request:
    """What was asked, and the ways to answer."""

    handler: BaseHTTPRequestHandler
    body: dict[str, Any]
    number: int

    @property
    def task(self) -> dict[str, Any]:
        """Return what the first message of the user says."""
        return json.loads(self.body["messages"][1]["content"])

    def send(self, status: int, content: bytes, **headers: str) -> None:
        self.handler.send_response(status)
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.send_header("Content-Length", str(len(content)))
        self.handler.end_headers()
        self.handler.wfile.write(content)

    def say(self, text: Any) -> None:
        message = {"role": "assistant", "content": text}
        self.send(200, json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode())

    def propose(self, **values: Any) -> None:
        self.say(json.dumps({"reason": "because", "values": values}))


@dataclass
class ChatServer:
    """Where it listens, what it was asked, and what it answers."""

    url: str
    answer: Answer
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


def good(request: Request) -> None:
    """Answer within the ranges that the question tells; the same question gets the same answer."""
    task, messages = request.task, request.body["messages"]
    refused = json.loads(messages[2]["content"])["values"] if len(messages) > 2 else {}
    chance = random.Random(f"{task['next_trial']} {refused}")
    values = {}
    for one in task["parameters"]:
        key = one["key"]
        if one["kind"] == "choice":
            # A model that was told of a wrong choice takes the next one.
            place = one["choices"].index(refused[key]) + 1 if refused else task["next_trial"]
            values[key] = one["choices"][place % len(one["choices"])]
        elif one["log"]:
            values[key] = one["low"] * (one["high"] / one["low"]) ** chance.random()
        else:
            values[key] = one["low"] + (one["high"] - one["low"]) * chance.random()
        if one["kind"] == "integer":
            step = task["answer_schema"]["properties"]["values"]["properties"][key].get("multipleOf", 1)
            values[key] = round(values[key] / step) * step
    request.propose(**values)


@contextmanager
def serve(answer: Answer = good) -> Iterator[ChatServer]:
    """Listen on a port of this machine alone."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                server.requests.append(body)
                server.headers.append(dict(self.headers))
                server.paths.append(self.path)
                number = len(server.requests)
            try:
                server.answer(Request(self, body, number))
            except OSError:
                self.close_connection = True  # the client had enough

        def log_message(self, *_: Any) -> None:
            return

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    server = ChatServer(f"http://127.0.0.1:{listening.server_address[1]}/v1", answer)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
