"""A transfer and who reads along: how far one may be ahead, and that neither waits for ever."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tao_skill.errors import StorageError
from tao_skill.storage import prefix, transfer
from tao_skill.storage.checksums import sum_for
from tao_skill.storage.members import DEFAULT_LIMITS
from tao_skill.storage.objects import Checksum, ObjectFacts
from tao_skill.storage.transfer import AHEAD, Checker, Download, WrongBytesError, fetch

CHUNK = 1000
CONTENT = os.urandom(40 * CHUNK + 1)


class Store:
    """An object in memory; notes where each read began, and how far the reader was."""

    def __init__(self) -> None:
        self.lock, self.starts, self.read_to = threading.Lock(), [], 0
        self.lead = 0
        self.begun = threading.Event()
        self.begun.set()

    def find(self, uri: str) -> ObjectFacts | None:
        return facts(name=uri)

    def list(self, uri: str, limit: int | None = None) -> list[ObjectFacts]:
        raise AssertionError(uri, limit)

    def write(self, source: Path, uri: str) -> None:
        raise AssertionError(source, uri)

    @contextmanager
    def read(self, facts: ObjectFacts, start: int, end: int | None) -> Iterator[Iterator[bytes]]:
        assert facts.size in (len(CONTENT), None)
        assert self.begun.wait(20)
        with self.lock:
            self.starts.append(start)
            self.lead = max(self.lead, start // CHUNK - self.read_to // CHUNK)
        yield iter([CONTENT[start:end]])


def facts(size: int | None = len(CONTENT), checksum: Checksum | None = None, *, name: str = "o.bin") -> ObjectFacts:
    return ObjectFacts(f"s3://b/{name}", name, size, etag="e", checksum=checksum, ranges=size is not None)


def stated(content: bytes) -> Checksum:
    summed = sum_for(Checksum("sha256", ""))
    assert summed is not None
    summed.update(content)
    return Checksum("sha256", summed.hexdigest())


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "CHUNK", CHUNK)
    monkeypatch.setattr(transfer, "_PIECE", CHUNK // 4)


def test_it_is_a_few_chunks_ahead_of_the_reader(tmp_path: Path) -> None:
    store, came = Store(), b""
    store.begun.clear()
    with Download(store, facts(), tmp_path / "part", quiet=True) as download:
        reader = download.reader()
        store.begun.set()
        while piece := reader.read(CHUNK // 3):
            came += piece
            with store.lock:
                # What the buffer of the stream holds was read from the transfer already.
                store.read_to = len(came)
    assert came == CONTENT
    # One more than that is read while the reader notes its last piece, and one by a thread that began before it did.
    assert AHEAD <= store.lead <= AHEAD + 2


def test_without_a_reader_it_waits_for_nobody(tmp_path: Path) -> None:
    with Download(Store(), facts(checksum=stated(CONTENT)), tmp_path / "part", quiet=True) as download:
        checker = Checker(download, facts(checksum=stated(CONTENT)))
        assert download.wait() == len(CONTENT)
        checker.check()
    assert (tmp_path / "part").read_bytes() == CONTENT


@pytest.mark.parametrize("held", [{0, 1, 2}, {3, 20, 40}, set(range(41)), {40}, set(range(5, 41))])
def test_a_resumed_transfer_is_read_whole(tmp_path: Path, held: set[int]) -> None:
    part, store = tmp_path / "part", Store()
    with Download(Store(), facts(), part, quiet=True) as download:
        download.wait()
    journal = part.with_name("part.done")
    header = journal.read_text().splitlines()[0]
    journal.write_text("".join(f"{line}\n" for line in [header, *held]))
    with Download(store, facts(), part, quiet=True) as download:
        assert download.reader().read() == CONTENT
    assert sorted(start // CHUNK for start in store.starts) == sorted(set(range(41)) - held)


@pytest.mark.parametrize("read", [0, 10, 7 * CHUNK + 3])
def test_a_reader_that_gives_up_keeps_nobody_waiting(tmp_path: Path, read: int) -> None:
    before = threading.active_count()
    begin = time.monotonic()
    with Download(Store(), facts(checksum=stated(CONTENT)), tmp_path / "part", quiet=True) as download:
        Checker(download, facts(checksum=stated(CONTENT)))
        download.reader().read(read)
    assert threading.active_count() == before
    # ... and where the sum is asked for, the rest still comes.
    with Download(Store(), facts(checksum=stated(b"x")), tmp_path / "other", quiet=True) as download:
        checker = Checker(download, facts(checksum=stated(b"x")))
        download.reader().read(read)
        with pytest.raises(WrongBytesError):
            checker.check()
    assert time.monotonic() - begin < 20


def test_an_object_of_unknown_length_is_read_whole(tmp_path: Path) -> None:
    with Download(Store(), facts(None), tmp_path / "part", quiet=True) as download:
        assert download.reader().read() == CONTENT


def test_a_broken_line_is_told_to_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_ATTEMPTS", 1)

    class Broken(Store):
        @contextmanager
        def read(self, facts: ObjectFacts, start: int, end: int | None) -> Iterator[Iterator[bytes]]:
            if start >= 20 * CHUNK:
                raise StorageError("the line is down")
            with super().read(facts, start, end) as pieces:
                yield pieces

    with (
        Download(Broken(), facts(), tmp_path / "part", quiet=True) as download,
        pytest.raises(StorageError, match="the line is down"),
    ):
        download.reader().read()


def test_a_disk_that_takes_a_part_of_a_write_gets_the_rest_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwrite
    monkeypatch.setattr(transfer.os, "pwrite", lambda file, data, place: whole(file, bytes(data)[:301], place))
    fetch(Store(), facts(), tmp_path / "o.bin")
    assert (tmp_path / "o.bin").read_bytes() == CONTENT


def test_ctrl_c_does_not_wait_for_all_that_is_still_to_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Path] = []

    def slow(store: object, facts: ObjectFacts, part: Path, *, quiet: bool) -> None:
        del store, facts, quiet
        begun.append(part)
        time.sleep(0.05)
        part.write_bytes(b"x")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(prefix, "fetch", slow)
    monkeypatch.setattr(prefix, "wait", interrupted)
    objects = [facts(1, name=f"{number}.jpg") for number in range(1000)]
    (tmp_path / "content").mkdir()
    with pytest.raises(KeyboardInterrupt):
        prefix.mirror(Store(), "s3://b/", objects, tmp_path / "content", tmp_path / "list", limits=DEFAULT_LIMITS)
    assert len(begun) < 500
