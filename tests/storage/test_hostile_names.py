"""Names and listings that are easily got wrong, on real servers; links that redirect, or tell no length."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from storage_archives import tar_bytes, tree, zip_bytes  # loaded by conftest.py
from storage_servers import serving

from tao_skill.errors import StorageError
from tao_skill.storage.small import list_objects
from tao_skill.storage.stage import stage

CONTENT = {f"c{i % 3}/{i}.jpg": os.urandom(700 + i) for i in range(12)}
NAMES = ("my data/größe", "a+b", "100%", "a%20b", "x=1&y=2", "日本/データ", "semi;colon", "(brackets) [x]", "tilde~")


@pytest.mark.parametrize("name", NAMES)
def test_names_with_blanks_signs_and_letters_of_the_world(put: Any, s3_server: Any, tmp_path: Path, name: str) -> None:
    if s3_server.name == "nanio" and "%20" in name:
        pytest.skip("nanio reckons another signature for such a name, for boto3's own requests too")
    assert tree(stage(put(f"{name}/train.tar.gz", tar_bytes(CONTENT)), tmp_path / "cache")) == CONTENT
    for file, content in CONTENT.items():
        uri = put(f"{name}/set/{name}/{file}", content)
    root = uri[: uri.index(f"/set/{name}/") + len("/set")]
    assert tree(stage(root, tmp_path / "cache")) == {f"{name}/{file}": content for file, content in CONTENT.items()}


def test_object_that_is_named_like_a_prefix(put: Any, s3_server: Any, bucket: str, tmp_path: Path) -> None:
    """``data/train`` is an object, and ``data/train/…`` holds others: a slash at the end says which is meant."""
    if s3_server.name == "nanio":
        pytest.skip("nanio keeps objects as files: it holds no object and prefix of one name")
    put("data/train/a/1.jpg", b"1")
    put("data/train", b"an object")
    assert tree(stage(f"{bucket}/data/train/", tmp_path / "cache")) == {"a/1.jpg": b"1"}
    assert stage(f"{bucket}/data/train", tmp_path / "cache").read_bytes() == b"an object"


def test_prefix_without_objects_is_no_empty_data_set(put: Any, bucket: str, tmp_path: Path) -> None:
    put("other/1.jpg", b"1")
    for uri in (f"{bucket}/nothing", f"{bucket}/nothing/", f"{bucket}/othe"):
        with pytest.raises(StorageError, match="There is no"):
            stage(uri, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.jpg"))


def test_whole_bucket_is_a_prefix_too(put: Any, bucket: str, tmp_path: Path) -> None:
    put("a/1.jpg", b"1")
    put("b/2.jpg", b"2")
    for uri in (bucket, f"{bucket}/"):
        assert tree(stage(uri, tmp_path / "cache")) == {"a/1.jpg": b"1", "b/2.jpg": b"2"}


@pytest.mark.long
def test_listing_of_many_pages(put: Any, bucket: str, tmp_path: Path) -> None:
    names = {f"set/c{i % 7}/{i:05d}.jpg": f"{i}".encode() for i in range(2300)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, names, names.values()))
    assert len(list_objects(f"{bucket}/set")) == 2300
    assert tree(stage(f"{bucket}/set", tmp_path / "cache")) == {
        name.removeprefix("set/"): content for name, content in names.items()
    }


class _Links(BaseHTTPRequestHandler):
    """``/redirect`` sends elsewhere, with a signature; ``/stream`` tells no length; ``/ignores`` knows no ranges."""

    protocol_version = "HTTP/1.1"
    content: dict[str, bytes]

    def do_GET(self) -> None:
        kind, _, name = self.path.partition("?")[0].lstrip("/").partition("/")
        if kind == "redirect":
            self.send_response(302)
            self.send_header("Location", f"/stream/{name}?X-Amz-Signature=planted-secret")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif kind == "loop":
            self.send_response(302)
            self.send_header("Location", self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._send(kind, self.content[name])

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/gzip")
        if kind == "stream":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(body), 1000):
                piece = body[start : start + 1000]
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            if self.headers.get("Range") != "bytes=0-0" and b"cut" in self.path.encode():
                self.close_connection = True
                return  # without the last chunk: the body is not whole
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def links() -> Iterator[str]:
    content = {"train.tar.gz": tar_bytes(CONTENT), "train.zip": zip_bytes(CONTENT), "cut.tar.gz": tar_bytes(CONTENT)}
    with serving(type("Links", (_Links,), {"content": content})) as url:
        yield url


@pytest.mark.parametrize("kind", ["redirect", "stream", "ignores"])
@pytest.mark.parametrize("name", ["train.tar.gz", "train.zip"])
def test_links_of_every_kind_become_a_folder(links: str, tmp_path: Path, kind: str, name: str) -> None:
    folder = stage(f"{links}/{kind}/{name}?token=planted-secret", tmp_path / "cache")
    assert tree(folder) == CONTENT
    written = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert not [path for path in written if b"planted-secret" in path.read_bytes() or "planted" in path.name]


def test_links_that_lead_nowhere_are_said_without_their_secrets(links: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        stage(f"{links}/loop/train.tar.gz?token=planted-secret", tmp_path / "cache")
    assert "can't be followed" in str(caught.value)
    assert "planted-secret" not in str(caught.value)


def test_stream_that_breaks_off_without_a_stated_length_is_no_data_set(links: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        stage(f"{links}/stream/cut.tar.gz", tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache" / "staged").glob("*") if path.suffix == "" and path.is_dir()]
