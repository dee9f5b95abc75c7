"""Who opens and who removes the file of a pack never end up with two of them, and leave nothing open."""

from __future__ import annotations

import fcntl
import mmap
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tao_skill.metric_learning.data.pack import Pack
from tao_skill.metric_learning.data.pack_file import remove_unused
from tao_skill.metric_learning.data.pack_format import FIRST, Header

LARGE = 10**9
FORK = multiprocessing.get_context("fork")
PIXELS = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)


def in_a_process(work: Callable[..., None], *given: Any) -> Any:
    process = FORK.Process(target=work, args=given, daemon=True)
    process.start()
    return process


def ended(*processes: Any) -> list[int | None]:
    for process in processes:
        process.join(20)
    return [process.exitcode for process in processes]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def keep_one(path: Path) -> None:
    pack = Pack(path, 2, 3)
    assert pack.put(0, PIXELS, LARGE)
    pack.close()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_pack_that_goes_while_it_is_opened_is_opened_anew(tmp_path: Path, replaced: bool) -> None:
    path = tmp_path / "a.pixels"
    keep_one(path)
    remover = os.open(path, os.O_RDWR)
    fcntl.flock(remover, fcntl.LOCK_EX)
    opener = in_a_process(keep_one, path)
    waits_since = time.monotonic()
    while "lock_inode_wait" not in Path(f"/proc/{opener.pid}/wchan").read_text():
        if time.monotonic() > waits_since + 0.5:  # not every kernel tells
            break
        time.sleep(0.002)
    path.unlink()
    if replaced:
        Pack(path, 2, 3).close()
    fcntl.flock(remover, fcntl.LOCK_UN)  # closing would not do: the opener has a copy
    os.close(remover)
    assert ended(opener) == [0]
    pack = Pack(path, 2, 3)
    assert np.array_equal(pack.get(0), PIXELS)
    pack.close()


def use(path: Path, seed: int, until: float) -> None:
    own = np.full((40, 30, 3), seed, np.uint8)
    while time.monotonic() < until:
        pack = Pack(path, 4, 3)
        for number in range(4):
            assert pack.put(number, own, LARGE)
            found = pack.get(number)
            assert found is not None
            assert len(np.unique(found)) == 1  # of one process, not of two that wrote to one place
        assert os.path.samestat(os.fstat(pack._held.file), path.stat())  # in use, so still there
        pack.close()
        time.sleep(0.001)


def remove(path: Path, until: float) -> None:
    removed = 0
    while time.monotonic() < until or not removed:
        removed += remove_unused(path)


def test_what_is_in_use_stays_while_others_open_and_remove(tmp_path: Path) -> None:
    path, until = tmp_path / "a.pixels", time.monotonic() + 0.8
    users = [in_a_process(use, path, seed, until) for seed in (1, 2)]
    assert ended(*users, in_a_process(remove, path, until)) == [0, 0, 0]


def test_a_pack_that_took_the_place_of_an_unused_one_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, later = tmp_path / "a.pixels", []
    keep_one(path)
    lock = fcntl.flock

    def lock_late(file: int, how: int) -> None:
        if how & fcntl.LOCK_NB:
            path.unlink()
            later.append(Pack(path, 2, 3))
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    assert not remove_unused(path)
    assert later[0]._held.is_at_its_path()
    later[0].close()


def test_who_opens_what_was_just_removed_takes_turns_with_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, at_once = tmp_path / "a.pixels", []
    keep_one(path)
    unlink = Path.unlink

    def unlink_and_open(file: Path, missing_ok: bool = False) -> None:
        unlink(file, missing_ok)
        if file == path:
            at_once.append(Pack(path, 2, 3))

    monkeypatch.setattr(Path, "unlink", unlink_and_open)
    assert remove_unused(path)
    later = Pack(path, 2, 3)
    assert os.path.samestat(*(os.fstat(pack._held._turn) for pack in (*at_once, later)))
    for pack in (*at_once, later):
        pack.close()


def open_with_little(path: Path, kind: int, limit: int, count: int) -> None:
    before = open_files()
    resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))
    for _ in range(3):
        with pytest.raises(OSError, match=r"too large|allocate memory"):
            Pack(path, count, 3)
    assert open_files() == before


@pytest.mark.parametrize("kind", ["file size", "memory"])
def test_what_could_not_be_opened_is_not_left_open(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.pixels"
    if kind == "memory":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
        opener = in_a_process(open_with_little, path, resource.RLIMIT_AS, used + 10**9, 10**8)
    else:
        opener = in_a_process(open_with_little, path, resource.RLIMIT_FSIZE, 1000, 100)
    assert ended(opener) == [0]
    assert not path.exists() or kind == "memory"
    (tmp_path / "b.lock").mkdir()
    before = open_files()
    with pytest.raises(IsADirectoryError):
        Pack(tmp_path / "b.pixels", 1, 3)
    assert open_files() == before


@pytest.mark.parametrize(
    "content", [Header(2, 3, b"").packed(), Header(3, 3, b"").packed() + bytes(10**4)], ids=["short", "other"]
)
def test_a_file_that_was_cut_short_or_is_of_other_images_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pixels"
    path.write_bytes(content)
    pack = Pack(path, 2, 3)
    assert pack.get(1) is None
    assert pack.put(1, PIXELS, LARGE)
    assert np.array_equal(pack.get(1), PIXELS)
    pack.close()


def read_late(path: Path, opened: Any, damaged: Any) -> None:
    pack = Pack(path, 2, 3)
    found = pack.get(0)
    opened.set()
    assert damaged.wait(20)
    assert np.array_equal(found, PIXELS)  # a page that is gone would end the process


def test_a_damaged_file_is_not_cut_under_who_reads_it(tmp_path: Path) -> None:
    path, opened, damaged = tmp_path / "a.pixels", FORK.Event(), FORK.Event()
    keep_one(path)
    reader = in_a_process(read_late, path, opened, damaged)
    assert opened.wait(20)
    with path.open("r+b") as file:
        file.write(b"something else".ljust(FIRST))
    later = Pack(path, 2, 3)
    assert later.get(0) is None
    damaged.set()
    assert ended(reader) == [0]
    later.close()
