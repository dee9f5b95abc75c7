"""Each fault at each stage of a transfer: right data or a clear error, and never a wrong folder in the cache."""

import collections
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from storage_archives import tar_bytes, tree, zip_bytes  # loaded by conftest.py
from storage_fault_proxy import KINDS, Fault, FaultProxy, Request

from tao_skill.errors import StorageError
from tao_skill.storage import small, transfer
from tao_skill.storage.backends import store_for
from tao_skill.storage.cache_care import verify
from tao_skill.storage.stage import stage
from tao_skill.storage.upload import FolderUpload

pytestmark = pytest.mark.long

CHUNK = 128 * 1024
CONTENT = {f"c{i % 4}/{i}.jpg": os.urandom(9000 + i) for i in range(50)}
WEIGHTS = os.urandom(700_000)
SOURCES = {
    "train.tar.gz": tar_bytes(CONTENT),
    "train.tar": tar_bytes(CONTENT, "w"),
    "train.zip": zip_bytes(CONTENT),
    "model.pth": WEIGHTS,
}
# Which request of which stage is hit.
MOMENTS: dict[str, Callable[[Request], bool]] = {
    "look": lambda one: one.stage == "look",
    "list": lambda one: one.stage == "list",
    "read, first range": lambda one: one.stage == "read" and one.range is not None and one.range[0] == 0,
    "read, middle range": lambda one: one.stage == "read" and one.range is not None and one.range[0] == 2 * CHUNK,
    "read, last range": lambda one: one.stage == "read" and one.range is not None and one.range[0] == 3 * CHUNK,
}
BY_SOURCE = {
    **{name: ["look", "read, first range", "read, middle range", "read, last range"] for name in SOURCES},
    "folder": ["look", "list", "read, first range"],
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "CHUNK", CHUNK)
    monkeypatch.setattr(transfer, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(transfer, "_ATTEMPTS", 3)
    monkeypatch.setattr(small, "_WAITS", (0.01, 0.02))
    monkeypatch.setenv("TAO_SKILL_STORAGE_TIMEOUT", "0.6")


@pytest.fixture
def proxy(bucket: str, s3_server: Any, quick: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:  # noqa: ARG001
    for name, content in SOURCES.items():
        s3_server.client().put_object(Bucket=bucket[5:], Key=name, Body=content)
    for name, content in CONTENT.items():
        s3_server.client().put_object(Bucket=bucket[5:], Key=f"folder/{name}", Body=content)
    with FaultProxy(s3_server.port, stall_seconds=1.2) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


def times(count: int, moment: Callable[[Request], bool], fault: Fault) -> Callable[[Request], Fault | None]:
    """Return a plan that breaks the first ``count`` requests of a moment."""
    left = [count]

    def plan(request: Request) -> Fault | None:
        if left[0] > 0 and moment(request):
            left[0] -= 1
            return fault
        return None

    return plan


def is_right(name: str, path: Path) -> bool:
    return path.read_bytes() == WEIGHTS if name == "model.pth" else tree(path) == CONTENT


def print_table(title: str, table: dict[tuple[str, str], "collections.Counter[str]"]) -> None:
    print(f"\n{title}\n{'fault':<13}{'stage':<22}{'injected':>9}{'right data':>12}{'clear error':>13}{'wrong':>7}")
    for (kind, moment), row in sorted(table.items()):
        print(f"{kind:<13}{moment:<22}{row['injected']:>9}{row['right']:>12}{row['error']:>13}{row['wrong']:>7}")
    total = sum(table.values(), collections.Counter())
    print(f"{'all':<35}{total['injected']:>9}{total['right']:>12}{total['error']:>13}{total['wrong']:>7}")


@pytest.mark.parametrize("count", [1, 1000], ids=["once", "always"])
def test_each_fault_at_each_stage(proxy: FaultProxy, bucket: str, s3_server: Any, tmp_path: Path, count: int) -> None:
    table: dict[tuple[str, str], collections.Counter[str]] = collections.defaultdict(collections.Counter)
    sources = BY_SOURCE if count == 1 else {name: BY_SOURCE[name] for name in ("train.tar.gz", "folder")}
    number = 0
    for name, moments in sources.items():
        for moment in moments:
            for kind in KINDS:
                number += 1
                cache = tmp_path / str(number)
                row = table[kind, moment]
                proxy.injected.clear()
                proxy.plan = times(count, MOMENTS[moment], Fault(kind, after=700))
                try:
                    path = stage(f"{bucket}/{name}", cache)
                    row["right" if is_right(name, path) else "wrong"] += 1
                except StorageError as error:
                    table[kind, moment]["next step"] += bool(error.next_step)
                    row["error"] += 1
                row["injected"] += len(proxy.injected)
                proxy.plan = lambda _request: None
                assert all(not finding.problems for finding in verify(cache))
                assert is_right(name, stage(f"{bucket}/{name}", cache))  # the same cache, once the line is well
    print_table(f"{s3_server.name}, {'one request' if count == 1 else 'every such request'} broken", table)
    assert sum(row["wrong"] for row in table.values()) == 0
    if count == 1:
        lookers = ("look", "list")
        assert all(row["error"] == 0 for (_, moment), row in table.items() if moment not in lookers)


LINK_MOMENTS: dict[str, Callable[[Request], bool]] = {
    "look": lambda one: one.range == (0, 0),
    "read, first range": lambda one: one.range is not None and one.range[0] == 0 and one.range[1] > 0,
    "read, middle range": MOMENTS["read, middle range"],
    "read, last range": MOMENTS["read, last range"],
}


@pytest.mark.parametrize("count", [1, 1000], ids=["once", "always"])
@pytest.mark.usefixtures("quick")
def test_each_fault_of_a_link(web_folder: Path, web_url: str, tmp_path: Path, count: int) -> None:
    table: dict[tuple[str, str], collections.Counter[str]] = collections.defaultdict(collections.Counter)
    # A web server states no sum, so wrong bytes show only where the format has one of its own.
    summed = ("train.tar.gz", "train.zip")
    for name, content in SOURCES.items():
        (web_folder / name).write_bytes(content)
    with FaultProxy(int(web_url.rpartition(":")[2]), stall_seconds=1.2) as proxy:
        faults = [(name, moment, kind) for name in SOURCES for moment in LINK_MOMENTS for kind in KINDS]
        for number, (name, moment, kind) in enumerate(faults):
            if kind == "wrong bytes" and (name not in summed or moment == "look"):
                continue
            cache, uri = tmp_path / str(number), f"{proxy.url}/{name}?token=planted-secret"
            row, told = table[kind, moment], ""
            proxy.injected.clear()
            after = 0 if moment == "look" else 700
            proxy.plan = times(count, LINK_MOMENTS[moment], Fault(kind, after=after))
            try:
                row["right" if is_right(name, stage(uri, cache)) else "wrong"] += 1
            except StorageError as error:
                told = str(error)
                row["error"] += 1
            assert "planted-secret" not in told
            row["injected"] += len(proxy.injected)
            proxy.plan = lambda _request: None
            assert all(not finding.problems for finding in verify(cache))
            assert is_right(name, stage(uri, cache))
    print_table(f"links, {'one request' if count == 1 else 'every such request'} broken", table)
    assert sum(row["wrong"] for row in table.values()) == 0
    assert count > 1 or all(row["error"] == 0 for row in table.values())


@pytest.mark.parametrize("count", [1, 1000], ids=["once", "always"])
def test_each_fault_of_an_upload(  # noqa: PLR0917
    proxy: FaultProxy, bucket: str, s3_server: Any, tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tao_skill.storage.s3._MULTIPART_FROM", 6 * 1024 * 1024)
    table: dict[tuple[str, str], collections.Counter[str]] = collections.defaultdict(collections.Counter)
    moments = {"write": "log.txt", "write part": "model.pth", "write ends": "model.pth"}
    faults = [Fault(kind) for kind in KINDS if kind != "wrong bytes"] + [
        Fault("reset", 3000, True),
        Fault("stall", 3000, True),
    ]
    for number, (fault, moment) in enumerate((fault, moment) for fault in faults for moment in moments):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "log.txt").write_bytes(os.urandom(50_000))
        (folder / "model.pth").write_bytes(os.urandom(7 * 1024 * 1024))
        uri = f"{bucket}/results/{number}"
        row = table[fault.kind + (" up" if fault.upward else ""), moment]
        proxy.injected.clear()
        proxy.plan = times(count, lambda one, moment=moment: one.stage == moment, fault)
        outcome = FolderUpload([(folder, "")], uri).sync(final=True)
        row["injected"] += len(proxy.injected)
        proxy.plan = lambda _request: None
        if outcome.missing:
            assert outcome.error
            row["error"] += 1
            outcome = FolderUpload([(folder, "")], uri).sync(final=True)  # as `jobs upload` does, in a new process
        else:
            row["right"] += 1
        assert not outcome.missing
        for name in ("log.txt", "model.pth"):
            facts = store_for(uri).find(f"{uri}/{name}")
            assert facts is not None
            with store_for(uri).read(facts, 0, None) as pieces:
                row["wrong"] += b"".join(pieces) != (folder / name).read_bytes()
    print_table(f"{s3_server.name}, upload, {'one request' if count == 1 else 'every such request'} broken", table)
    assert sum(row["wrong"] for row in table.values()) == 0


def test_an_unreachable_server_is_said_soon(bucket: str, quick: None, monkeypatch: Any, tmp_path: Path) -> None:  # noqa: ARG001
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    begin = time.monotonic()
    with pytest.raises(StorageError, match="can't be reached"):
        stage(f"{bucket}/train.tar.gz", tmp_path)
    assert time.monotonic() - begin < 20
