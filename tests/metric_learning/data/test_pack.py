from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tao_skill.metric_learning.data import pack as pack_module
from tao_skill.metric_learning.data.pack import Pack
from tao_skill.metric_learning.data.pack_care import packs, packs_in
from tao_skill.metric_learning.data.pack_file import remove_unused
from tao_skill.metric_learning.data.pack_format import ENTRY, FIRST, PLACE, SUM

LARGE = 10**9


def image(number: int, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (5 + number % 7, 3 + number % 5, channels), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_come_back_as_they_were_in_any_order(tmp_path: Path, channels: int) -> None:
    pack = Pack(tmp_path / "a.pixels", 20, channels)
    for number in (7, 0, 19, 3):
        assert pack.get(number) is None
        assert pack.put(number, image(number, channels), LARGE)
        assert np.array_equal(pack.get(number), image(number, channels))
    again = Pack(tmp_path / "a.pixels", 20, channels)
    for number in range(20):
        found = again.get(number)
        assert (found is None) == (number not in (7, 0, 19, 3))
        assert found is None or (np.array_equal(found, image(number, channels)) and found.flags.writeable)
    again.close()
    pack.close()


def test_writing_to_an_image_changes_no_other_reader(tmp_path: Path) -> None:
    pack, other = Pack(tmp_path / "a.pixels", 1, 3), Pack(tmp_path / "a.pixels", 1, 3)
    pack.put(0, image(0), LARGE)
    found = pack.get(0)
    assert found is not None
    found[:] = 0
    assert np.array_equal(other.get(0), image(0))
    pack.close()
    assert np.array_equal(found, np.zeros_like(image(0)))  # readable after closing
    other.close()


def test_the_limit_holds(tmp_path: Path) -> None:
    pack = Pack(tmp_path / "a.pixels", 4, 3)
    limit = pack.bytes + image(0).nbytes
    assert pack.put(0, image(0), limit)
    assert not pack.put(1, image(1), limit)
    assert pack.get(1) is None
    assert pack.bytes <= limit
    pack.close()


def fill(path: Path, seed: int, repeats: int) -> None:
    pack = Pack(path, 200, 3)
    for number in np.random.default_rng(seed).permutation(200).tolist() * repeats:
        found = pack.get(number)
        if found is None:
            pack.put(number, image(number), LARGE)
        elif not np.array_equal(found, image(number)):
            os._exit(3)


def test_processes_fill_one_file_at_the_same_time(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else None)
    writers = [context.Process(target=fill, args=(tmp_path / "a.pixels", seed, 3)) for seed in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    pack = Pack(tmp_path / "a.pixels", 200, 3)
    assert all(np.array_equal(pack.get(number), image(number)) for number in range(200))
    pack.close()


def large(number: int) -> NDArray[np.uint8]:
    return np.full((300, 200, 3), number, np.uint8)


def fill_slowly(path: Path) -> None:
    """Fill with images that take most of the time to write, so that a signal is likely to come amid one."""
    pack = Pack(path, 200, 3)
    for number in np.random.default_rng(1).permutation(200).tolist():
        pack.put(number, large(number), LARGE)


def found_after_a_kill(path: Path, after: int) -> int:
    """Kill a writer that has written so many images, or some more; return how many are found, all of them whole."""
    Pack(path, 200, 3).close()
    (file,) = [one for one in packs_in(path.parent) if one.path == path]
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else None)
    writer = context.Process(target=fill_slowly, args=(path,), daemon=True)
    writer.start()
    while file.images() < after:
        time.sleep(0.0005)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join(60)
    pack = Pack(path, 200, 3)
    images = {number: found for number in range(200) if (found := pack.get(number)) is not None}
    assert all(np.array_equal(found, large(number)) for number, found in images.items())
    pack.close()
    return len(images)


def test_a_killed_writer_leaves_only_whole_images(tmp_path: Path) -> None:
    founds: list[int] = []
    # At least four rounds, and until two came amid the writing: with all or none nothing is shown.
    while len(founds) < 4 or sum(0 < found < 200 for found in founds) < 2:
        assert len(founds) < 20, founds
        founds.append(found_after_a_kill(tmp_path / f"{len(founds)}.pixels", (0, 1, 10, 40)[len(founds) % 4]))
    fill_slowly(tmp_path / "0.pixels")  # no lock was left behind


def test_after_a_crash_of_the_machine_images_are_compared_with_their_checksums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = Pack(tmp_path / "a.pixels", 2, 3)
    pack.put(0, image(0), LARGE)
    pack.put(1, image(1), LARGE)
    end = pack.bytes
    os.pwrite(pack._file, b"\x00" * 4, end - 4)  # as if the last page had not reached the disk
    pack.close()
    monkeypatch.setattr(pack_module, "_boot_id", lambda: b"another start of the machine")
    later = Pack(tmp_path / "a.pixels", 2, 3)
    assert np.array_equal(later.get(0), image(0))
    assert later.get(1) is None
    assert later.put(1, image(1), LARGE)
    assert np.array_equal(later.get(1), image(1))
    later.close()


@pytest.mark.parametrize("content", [b"", b"TAOPIX", b"something else" * 100])
def test_a_file_that_is_no_pack_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pixels").write_bytes(content)
    pack = Pack(tmp_path / "a.pixels", 2, 3)
    assert pack.get(0) is None
    assert pack.put(0, image(0), LARGE)
    assert np.array_equal(pack.get(0), image(0))
    pack.close()


def test_a_pack_in_use_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.pixels"
    pack = Pack(path, 2, 3)
    assert not remove_unused(path)
    pack.close()
    assert remove_unused(path)
    assert not list(tmp_path.iterdir())
    assert not remove_unused(path)


def test_packs_are_listed_and_every_byte_of_them_is_checked(tmp_path: Path) -> None:
    folder = tmp_path / "pixels"
    folder.mkdir()
    pack = Pack(folder / "a.pixels", 3, 3)
    for number in (0, 2):
        assert pack.put(number, np.full((5, 4, 3), number + 1, np.uint8), 10**9)
    pack.close()
    (folder / "b.pixels").write_bytes(b"TAOPIX01" + bytes(500))
    os.utime(folder / "b.pixels", (1, 1))
    old, whole = packs(tmp_path)
    assert (whole.path, whole.images(), whole.problems()) == (folder / "a.pixels", 2, [])
    assert (old.images(), old.problems()) == (0, ["it is of another version, or damaged"])
    with whole.path.open("r+b") as file:
        file.seek(whole.bytes - 1)
        file.write(b"\x77")
    assert whole.problems() == ["1 of its images have changed"]
    assert packs(tmp_path / "none") == []


@pytest.mark.parametrize(
    "place", [(-5, 5, 4), (0, 5, 4), (10**12, 5, 4), (4096, -1, -60), (4096, 2**31 - 1, 2**31 - 1)]
)
def test_an_entry_that_makes_no_sense_is_an_image_that_has_changed(tmp_path: Path, place: tuple[int, int, int]) -> None:
    pack = Pack(tmp_path / "a.pixels", 2, 3)
    assert pack.put(0, image(0), LARGE)
    os.pwrite(pack._file, PLACE.pack(*place) + SUM.pack(1), FIRST + ENTRY)
    assert pack.get(1) is None
    assert np.array_equal(pack.get(0), image(0))
    (kept,) = packs_in(tmp_path)
    assert kept.problems() == ["1 of its images have changed"]
    pack.close()


def test_where_the_start_of_the_machine_is_unknown_every_image_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_module, "_boot_id", lambda: b"")
    pack = Pack(tmp_path / "a.pixels", 1, 3)
    assert pack.put(0, image(0), LARGE)
    os.pwrite(pack._file, b"\x00" * 4, pack.bytes - 4)
    pack.close()
    later = Pack(tmp_path / "a.pixels", 1, 3)
    assert later.get(0) is None
    later.close()
