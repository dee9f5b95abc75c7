"""However full the disk is and whoever else fills the folder: what is read is right, and limits hold."""

from __future__ import annotations

import ctypes
import logging
import mmap
import multiprocessing
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tao_skill.metric_learning.data import pack as pack_module
from tao_skill.metric_learning.data import pack_folder
from tao_skill.metric_learning.data.decode import decode_image
from tao_skill.metric_learning.data.pack import Pack
from tao_skill.metric_learning.data.pack_care import packs_in
from tao_skill.metric_learning.data.pack_folder import PackFolder
from tao_skill.metric_learning.data.pixels import DecodedCache

LARGE = 10**9
FORK = multiprocessing.get_context("fork")
SIDE = 100
BYTES = SIDE * SIDE * 3
NO_DISK = 77


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Return the files of 20 images of 30 kB each."""
    (tmp_path / "images").mkdir()
    found = []
    for number in range(20):
        found.append(tmp_path / "images" / f"{number}.bmp")
        Image.fromarray(noise(number)).save(found[-1])
    return found


def noise(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def exit_code(work: Callable[..., None], *given: Any) -> int | None:
    """Do it in a process of its own, whose limits and mounts end with it."""
    process = FORK.Process(target=work, args=given, daemon=True)
    process.start()
    process.join(30)
    return process.exitcode


def read_all(folder: Path, paths: list[Path], then: Callable[[int], None] = lambda _: None) -> int:
    """Read all images twice, each as it is without a cache; return how many the cache has kept.

    ``then`` is done after each image of the first time.
    """
    cache = DecodedCache(folder, LARGE, 3)
    cache.expect(paths)
    for number, path in enumerate([*paths, *paths]):
        assert np.array_equal(cache.read(path, 3), decode_image(path))
        if number < len(paths):
            then(number)
    cache.close()
    return kept(folder, paths)


def kept(folder: Path, paths: list[Path]) -> int:
    """Return how many images another process would find in the one pack, all of which are as they were."""
    found = 0
    for one in packs_in(folder):
        assert one.problems() == []
        pack = Pack(one.path, len(paths), 3)
        for number, path in enumerate(paths):
            image = pack.get(number)
            assert image is None or np.array_equal(image, decode_image(path))
            found += image is not None
        pack.close()
    return found


def read_with_short_files(folder: Path, paths: list[Path]) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096 + 5 * BYTES // 2, resource.RLIM_INFINITY))
    assert read_all(folder, paths) == 2


def test_files_that_may_not_grow_only_cost_time(tmp_path: Path, paths: list[Path]) -> None:
    assert exit_code(read_with_short_files, tmp_path / "c", paths) == 0
    assert read_all(tmp_path / "c", paths) == 20  # another process fills up what is missing


def read_and_be_cut_short(folder: Path, paths: list[Path]) -> None:
    grow = os.ftruncate

    def grow_once_too_often(file: int, length: int) -> None:
        grow(file, length)
        if length > 4096 + 3 * BYTES:  # space was given out, but only half of the image can be written
            resource.setrlimit(resource.RLIMIT_FSIZE, (length - BYTES // 2, resource.RLIM_INFINITY))

    pack_module.os.ftruncate = grow_once_too_often  # type: ignore[attr-defined]
    assert read_all(folder, paths) == 3


def test_a_half_written_image_counts_as_none(tmp_path: Path, paths: list[Path]) -> None:
    assert exit_code(read_and_be_cut_short, tmp_path / "c", paths) == 0
    (pack,) = packs_in(tmp_path / "c")
    assert pack.bytes == 4096 + 4 * BYTES
    written = np.frombuffer(pack.path.read_bytes()[-BYTES:], np.uint8)
    half = BYTES // 2
    assert np.array_equal(written[:half], noise(3).reshape(-1)[:half])  # by the kernel, up to its limit
    assert not written[half:].any()
    assert kept(tmp_path / "c", paths) == 3
    assert read_all(tmp_path / "c", paths) == 20


def mount_small_disk(place: Path, size: int) -> None:
    """Mount a disk of so many bytes that only this process sees, or end it where that is not allowed."""
    system, user, group = ctypes.CDLL(None, use_errno=True), os.getuid(), os.getgid()
    new_user, new_mounts = 0x10000000, 0x00020000
    if system.unshare(new_user | new_mounts) != 0:
        os._exit(NO_DISK)
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    except OSError:
        os._exit(NO_DISK)
    place.mkdir()
    if system.mount(b"none", bytes(place), b"tmpfs", 0, f"size={size}".encode()) != 0:
        os._exit(NO_DISK)


def read_while_the_disk_fills_up(place: Path, paths: list[Path]) -> None:
    mount_small_disk(place, 10**6)

    def fill_up(number: int) -> None:
        if number == 4:
            (place / "of others").write_bytes(b"x" * (shutil.disk_usage(place).free - BYTES * 3 // 2))

    assert read_all(place / "c", paths, fill_up) in (5, 6)
    assert shutil.disk_usage(place).free < BYTES
    with pytest.raises(OSError, match="No space left"):
        Pack(place / "c" / "b.pixels", 10**5, 3).put(10**5 - 1, noise(0), LARGE)
    (place / "of others").unlink()
    assert read_all(place / "c", paths) > 6


def read_while_others_write(place: Path, paths: list[Path]) -> None:
    mount_small_disk(place, 10**6)
    pack_folder._LOOK_AGAIN = 2 * BYTES

    def write(_: int) -> None:
        with (place / "of others").open("ab") as file:
            file.write(b"x" * BYTES)

    # Half of the disk is for both; two images of each may be written between two looks.
    assert 6 <= read_all(place / "c", paths[:16], write) <= 10


@pytest.mark.parametrize("work", [read_while_the_disk_fills_up, read_while_others_write])
def test_a_full_disk_only_costs_time(tmp_path: Path, paths: list[Path], work: Callable[..., None]) -> None:
    code = exit_code(work, tmp_path / "disk", paths)
    if code == NO_DISK:
        pytest.skip("this system lets no user mount a disk of their own")
    assert code == 0


def fill_and_stay(folder: Path, count: int, filled: Any, ended: Any) -> None:
    own = PackFolder(folder, LARGE)
    pack = own.open("other", count, 3)
    assert all(own.keep(pack, number, noise(number)) for number in range(count))
    filled.set()
    assert ended.wait(20)


def test_what_others_write_meanwhile_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_folder, "_LOOK_AGAIN", 2 * BYTES)
    limit = 10 * BYTES + 2 * 4096
    mine = PackFolder(tmp_path, limit)
    pack = mine.open("mine", 20, 3)
    assert mine.keep(pack, 0, noise(0))
    filled, ended = FORK.Event(), FORK.Event()
    other = FORK.Process(target=fill_and_stay, args=(tmp_path, 6, filled, ended), daemon=True)
    other.start()
    assert filled.wait(20)
    assert [mine.keep(pack, number, noise(number)) for number in range(1, 7)] == [True] * 3 + [False] * 3
    assert sum(one.bytes for one in packs_in(tmp_path)) == limit
    ended.set()
    other.join(20)
    assert mine.keep(pack, 7, noise(7))  # nobody uses the other's any more
    assert [one.path.name for one in packs_in(tmp_path)] == ["mine.pixels"]
    mine.close()


def test_packs_that_vanish_while_they_are_looked_at_end_nothing(
    tmp_path: Path, paths: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "a.pixels").symlink_to(tmp_path / "gone")  # listed, but no more there when it is asked for
    cache = DecodedCache(tmp_path / "c", 4096 + 3 * BYTES, 3)
    cache.expect(paths)
    for path in paths:
        assert np.array_equal(cache.read(path, 3), decode_image(path))
    cache.close()
    assert kept(tmp_path / "c", paths) == 3
    assert caplog.text == ""


def test_no_more_is_written_to_a_pack_that_was_removed(
    tmp_path: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pack_folder, "_LOOK_AGAIN", 2 * BYTES)
    caplog.set_level(logging.WARNING)
    cache = DecodedCache(tmp_path / "c", LARGE, 3)
    cache.expect(paths)
    cache.read(paths[0], 3)
    (pack,) = cache._packs._packs
    shutil.rmtree(tmp_path / "c")
    for path in [*paths, *paths]:
        assert np.array_equal(cache.read(path, 3), decode_image(path))
    assert pack.bytes == 4096 + 2 * BYTES
    assert caplog.text.count("was removed by others") == 1
    cache.close()


def read_with_little_memory(folder: Path, paths: list[Path]) -> None:
    cache = DecodedCache(folder, 10**11, 3)
    cache.expect(paths)
    (pack,) = cache._packs._packs
    os.truncate(pack.path, 4 * 10**9)  # of holes; what is kept now lies behind them
    cache.read(paths[0], 3)
    assert pack.bytes == 4 * 10**9 + BYTES
    used = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (used + 10**9, resource.RLIM_INFINITY))
    with pytest.raises(OSError, match="allocate memory"):
        pack.get(0)
    for path in [*paths, *paths]:
        assert np.array_equal(cache.read(path, 3), decode_image(path))
    cache.close()


def test_a_pack_that_cannot_be_read_only_costs_time(tmp_path: Path, paths: list[Path]) -> None:
    assert exit_code(read_with_little_memory, tmp_path / "c", paths) == 0
