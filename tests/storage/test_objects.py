"""One class that every kind of storage passes."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from storage_servers import new_bucket  # loaded by conftest.py

from tao_skill.errors import NotAvailableError, StorageError
from tao_skill.storage.backends import store_for
from tao_skill.storage.checksums import sum_for
from tao_skill.storage.objects import ObjectFacts
from tao_skill.storage.transfer import fetch

NAMES = ("a.bin", "folder/b c.bin", "folder/deep/größe+1 #?.bin", "folder2/x")


@dataclass(frozen=True)
class Place:
    """Somewhere to put objects for a test, and the URI to read them from."""

    root: str
    put: Callable[[str, bytes], None]
    lists: bool = True
    writes: bool = True


@pytest.fixture(params=["disk", "nanio", "moto", "web", "web without ranges"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    if request.param in ("nanio", "moto"):
        server = request.getfixturevalue(f"{request.param}_server")
        root, client = new_bucket(server, monkeypatch), server.client()
        return Place(root, lambda name, content: client.put_object(Bucket=root[5:], Key=name, Body=content))
    if request.param == "disk":
        return Place(str(tmp_path / "objects"), lambda name, content: _write(tmp_path / "objects" / name, content))
    from urllib.parse import quote

    url, folder = request.getfixturevalue("web_url"), request.getfixturevalue("web_folder")
    inner = tmp_path.name
    plain = "/plain" if "without" in request.param else ""

    def put(name: str, content: bytes) -> None:
        _write(folder / inner / name, content)

    return Place(f"{url}{plain}/{quote(inner)}", put, lists=False, writes=False)


def uri(place: Place, name: str) -> str:
    from urllib.parse import quote

    return f"{place.root}/{quote(name) if place.root.startswith('http') else name}"


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def content_of(place: Place, facts: ObjectFacts, start: int, end: int | None) -> bytes:
    with store_for(place.root).read(facts, start, end) as pieces:
        return b"".join(pieces)


class TestEveryStorage:
    def test_facts_of_an_object(self, place: Place) -> None:
        for name in NAMES:
            place.put(name, b"content of " + name.encode())
            facts = store_for(place.root).find(uri(place, name))
            assert facts is not None
            assert facts.size == len(name.encode()) + 11
            assert facts.name == name.rpartition("/")[2]
            summed = sum_for(facts.checksum)
            if summed is not None and facts.checksum is not None:
                summed.update(b"content of " + name.encode())
                assert summed.hexdigest() == facts.checksum.value

    def test_what_is_not_there(self, place: Place) -> None:
        place.put("a.bin", b"x")
        assert store_for(place.root).find(uri(place, "b.bin")) is None
        assert store_for(place.root).find(uri(place, "a")) is None

    def test_ranges(self, place: Place) -> None:
        content = os.urandom(3_000_000)
        place.put("a.bin", content)
        facts = store_for(place.root).find(uri(place, "a.bin"))
        assert facts is not None
        assert content_of(place, facts, 0, None) == content
        if facts.ranges:
            for start, end in [(0, 1), (5, 2_500_000), (2_999_999, 3_000_000), (7, 7), (100, None)]:
                assert content_of(place, facts, start, end) == content[start:end]

    def test_an_empty_object(self, place: Place, tmp_path: Path) -> None:
        place.put("empty", b"")
        facts = store_for(place.root).find(uri(place, "empty"))
        assert facts is not None
        assert facts.size == 0
        assert content_of(place, facts, 0, None) == b""
        fetch(store_for(place.root), facts, tmp_path / "part")
        assert (tmp_path / "part").read_bytes() == b""

    @pytest.mark.parametrize("size", [1, 1_000_000, 20_000_000])
    def test_fetch_brings_the_same_bytes(self, place: Place, tmp_path: Path, size: int) -> None:
        content = os.urandom(size)
        place.put("a.bin", content)
        facts = store_for(place.root).find(uri(place, "a.bin"))
        assert facts is not None
        fetch(store_for(place.root), facts, tmp_path / "part")
        assert hashlib.sha256((tmp_path / "part").read_bytes()).digest() == hashlib.sha256(content).digest()
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith("part")] == ["part"]

    def test_an_object_that_changed_is_not_mixed(self, place: Place) -> None:
        place.put("a.bin", b"1" * 1000)
        facts = store_for(place.root).find(uri(place, "a.bin"))
        assert facts is not None
        place.put("a.bin", b"2" * 1001)
        changed = store_for(place.root).find(uri(place, "a.bin"))
        assert changed is not None
        assert changed.identity("x") != facts.identity("x")
        if facts.etag or place.lists:
            with pytest.raises(StorageError, match="changed"):
                content_of(place, facts, 0, 10)

    def test_a_listing_is_recursive_sorted_and_of_this_prefix_only(self, place: Place) -> None:
        for name in NAMES:
            place.put(name, b"12")
        if not place.lists:
            with pytest.raises(NotAvailableError):
                store_for(place.root).list(place.root)
            return
        assert [one.name for one in store_for(place.root).list(place.root)] == sorted(NAMES)
        below = store_for(place.root).list(f"{place.root}/folder")
        assert [one.name for one in below] == ["b c.bin", "deep/größe+1 #?.bin"]
        assert all(content_of(place, one, 0, None) == b"12" for one in below)
        assert len(store_for(place.root).list(place.root, limit=2)) == 2
        assert store_for(place.root).list(f"{place.root}/nothing") == []

    def test_what_is_written_can_be_read(self, place: Place, tmp_path: Path) -> None:
        source = tmp_path / "source"
        for size in (0, 1000, 70_000_000 if "b-" in place.root else 5):
            source.write_bytes(os.urandom(size))
            if not place.writes:
                with pytest.raises(NotAvailableError):
                    store_for(place.root).write(source, uri(place, "new/file"))
                return
            store_for(place.root).write(source, uri(place, "new/file"))
            facts = store_for(place.root).find(uri(place, "new/file"))
            assert facts is not None
            fetch(store_for(place.root), facts, tmp_path / "part")
            assert (tmp_path / "part").read_bytes() == source.read_bytes()
            assert place.root.startswith("/") or facts.checksum is not None

    def test_a_range_beyond_what_the_server_has_is_an_error(self, place: Place) -> None:
        place.put("a.bin", b"x" * 100)
        facts = store_for(place.root).find(uri(place, "a.bin"))
        assert facts is not None
        if facts.ranges and not place.root.startswith("/"):
            with pytest.raises(StorageError):
                content_of(place, replace(facts, size=1000), 500, 900)
