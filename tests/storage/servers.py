"""Real S3 servers on loopback sockets, and a plain web server with ranges."""

import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ACCESS_KEY, SECRET_KEY = "tests-access-key", "tests-secret-key-0123456789"
STORAGE_VARIABLES = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION", "AWS_REGION", "ACCESS_KEY", "SECRET_KEY", "S3_ENDPOINT_URL",
    "CLOUD_REGION", "S3_BUCKET_NAME", "TAO_SKILL_STORAGE_TIMEOUT", "TAO_SKILL_CACHE_LIMIT",
)  # fmt: skip


@dataclass(frozen=True)
class S3Server:
    """A server that runs, and how to reach it; ``checks_keys`` says whether it refuses wrong signatures."""

    name: str
    port: int
    checks_keys: bool

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, url: str | None = None) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_ENDPOINT_URL": url or self.url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(signature_version="s3v4", s3={"addressing_style": "path"})
        return boto3.client(
            "s3", endpoint_url=self.url, aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1", config=config,
        )  # fmt: skip


def new_bucket(server: S3Server, monkeypatch: Any) -> str:
    """Make a bucket, set the environment for its server, and return its URI."""
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    name = f"b-{uuid.uuid4().hex[:12]}"
    server.client().create_bucket(Bucket=name)
    return f"s3://{name}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def nanio(folder: Path) -> Iterator[S3Server]:
    port = free_port()
    command = [sys.executable, "-m", "nanio", "serve", "--data-dir", str(folder), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--no-access-log", "--log-level", "error"]
    keys = {"NANIO_ACCESS_KEY": ACCESS_KEY, "NANIO_SECRET_KEY": SECRET_KEY}
    with _process(command, port, keys):
        yield S3Server("nanio", port, checks_keys=True)


@contextmanager
def moto() -> Iterator[S3Server]:
    port = free_port()
    program = "from moto.server import main; import sys; main(sys.argv[1:])"
    with _process([sys.executable, "-c", program, "-H", "127.0.0.1", "-p", str(port)], port, {}):
        yield S3Server("moto", port, checks_keys=False)


@contextmanager
def _process(command: list[str], port: int, extra: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(command, env=os.environ | extra, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, f"{command[:3]} ended"
                assert time.monotonic() < end, f"{command[:3]} does not listen"
                time.sleep(0.05)
        yield
    finally:
        # Asked to end, it would wait for connections that a broken upload left open.
        process.kill()
        process.wait(timeout=20)


class _Files(BaseHTTPRequestHandler):
    """Serve a folder with ranges and ETags; ``/plain/`` without either, ``/denied/`` not at all."""

    protocol_version = "HTTP/1.1"
    root: Path

    def do_GET(self) -> None:
        place = unquote(urlsplit(self.path).path)
        if place.startswith("/denied/"):
            self._end(403)
            return
        plain = place.startswith("/plain/")
        path = self.root / place.removeprefix("/plain").lstrip("/")
        if not path.is_file():
            self._end(404)
            return
        content = path.read_bytes()
        asked = self.headers.get("Range")
        start, end = 0, len(content)
        if asked and not plain:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last) + 1 if last else end, end)
            if start >= len(content):
                self._end(416)
                return
        self.send_response(206 if asked and not plain else 200)
        if not plain:
            self.send_header("ETag", f'"{path.stat().st_mtime_ns}"')
        if asked and not plain:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        self.wfile.write(content[start:end])

    def _end(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


@contextmanager
def web(folder: Path) -> Iterator[str]:
    with serving(type("Files", (_Files,), {"root": folder})) as url:
        yield url


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Give the address of a web server that answers as its handler does."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
