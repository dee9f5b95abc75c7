"""Links whose servers state little of an object, or send another part of it than they were asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from storage_archives import tar_bytes, tree  # loaded by conftest.py
from storage_servers import serving

from tao_skill.errors import StorageError
from tao_skill.storage.backends import store_for
from tao_skill.storage.stage import stage
from tao_skill.storage.transfer import fetch

BODY = os.urandom(3000)
SETS = {name: {f"a/{name}.jpg": name.encode() * 50} for name in ("train", "query")}


class _Server(BaseHTTPRequestHandler):
    """``/bare`` states nothing and looks at the query; ``/shifted`` sends wrong parts; ``/dated`` changes meanwhile.

    ``/whole`` knows no parts and gives the present time as its date; ``/grown`` gets longer with each answer.
    """

    protocol_version = "HTTP/1.1"
    dates: Iterator[str]
    lengths: Iterator[int]

    def do_GET(self) -> None:
        kind, _, query = self.path.lstrip("/").partition("?")
        if kind.startswith("bare"):
            self._chunked(tar_bytes(SETS[query.partition("=")[2]]))
            return
        if kind.startswith(("whole", "grown")):
            length = next(self.lengths) if kind.startswith("grown") else len(BODY)
            self._plain(200, BODY[:length], {"Last-Modified": next(self.dates)})
            return
        start, end = (int(word or len(BODY) - 1) for word in self.headers["Range"].partition("=")[2].split("-"))
        shift = 7 if kind.startswith("shifted") and start > 0 else 0
        more = {"Content-Range": f"bytes {start + shift}-{end}/{len(BODY)}"}
        if kind.startswith("dated"):
            more["Last-Modified"] = next(self.dates)
        self._plain(206, BODY[start + shift : end + 1], more)

    def _chunked(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")

    def _plain(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def url() -> Iterator[str]:
    dates = iter(["Mon, 01 Jan 2024 00:00:00 GMT", *["Tue, 02 Jan 2024 00:00:00 GMT"] * 99])
    states = {"dates": dates, "lengths": iter(range(1000, 1100))}
    with serving(type("Server", (_Server,), states)) as url:
        yield url


def test_links_that_differ_in_their_query_alone_are_different_data(url: str, tmp_path: Path) -> None:
    """Nothing else tells them apart where the server states neither length nor date nor tag."""
    found = {name: tree(stage(f"{url}/bare.tar.gz?set={name}", tmp_path / "cache")) for name in SETS}
    assert found == SETS
    written = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert not [path for path in written if b"set=train" in path.read_bytes()]


def test_another_part_than_was_asked_for_is_refused(url: str) -> None:
    store = store_for(f"{url}/shifted.bin")
    facts = store.find(f"{url}/shifted.bin")
    assert facts is not None
    assert facts.ranges
    with pytest.raises(StorageError, match="another part"), store.read(facts, 1000, 2000) as pieces:
        b"".join(pieces)


def test_a_file_that_is_replaced_meanwhile_is_not_put_together_of_two(url: str, tmp_path: Path) -> None:
    store = store_for(f"{url}/dated.bin")
    facts = store.find(f"{url}/dated.bin")
    assert facts is not None
    assert facts.modified
    with pytest.raises(StorageError, match="changed while it was read"):
        fetch(store, facts, tmp_path / "dated.bin")


def test_a_whole_answer_is_of_one_state_whatever_its_date(url: str, tmp_path: Path) -> None:
    store = store_for(f"{url}/whole.bin")
    facts = store.find(f"{url}/whole.bin")
    assert facts is not None
    assert not facts.ranges
    fetch(store, facts, tmp_path / "whole.bin")
    assert (tmp_path / "whole.bin").read_bytes() == BODY


def test_a_whole_answer_of_another_length_is_of_another_file(url: str, tmp_path: Path) -> None:
    store = store_for(f"{url}/grown.bin")
    facts = store.find(f"{url}/grown.bin")
    assert facts is not None
    with pytest.raises(StorageError, match="changed while it was read"):
        fetch(store, facts, tmp_path / "grown.bin")
