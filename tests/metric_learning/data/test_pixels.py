from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tao_skill.errors import DataError
from tao_skill.metric_learning.data import pixels as pixels_module
from tao_skill.metric_learning.data.decode import decode_image
from tao_skill.metric_learning.data.pack import Pack
from tao_skill.metric_learning.data.pixels import DecodedCache, Files, decoded_once

Tree = Callable[..., Path]
LARGE = 10**9


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Note each file that is decoded."""
    files: list[Path] = []

    def noted(path: Path, channels: int) -> object:
        files.append(path)
        return decode_image(path, channels)

    monkeypatch.setattr(pixels_module, "decode_image", noted)
    return files


def open_cache(folder: Path, paths: list[Path], limit: int = LARGE, channels: int = 3) -> DecodedCache:
    cache = DecodedCache(folder, limit, channels)
    cache.expect(paths)
    return cache


def test_a_file_is_decoded_once_for_all_caches(make_tree: Tree, tmp_path: Path, decoded: list[Path]) -> None:
    paths = sorted(make_tree("train", {"a": 3, "b": 2}, ".jpg").rglob("*.jpg"))
    first, beside = open_cache(tmp_path / "c", paths), open_cache(tmp_path / "c", paths)
    for _ in range(2):
        for cache in (first, beside):
            for path in paths:
                assert np.array_equal(cache.read(path, 3), decode_image(path))
    assert sorted(decoded) == paths
    for cache in (first, beside):
        cache.close()
    later = open_cache(tmp_path / "c", paths)
    assert all(np.array_equal(later.read(path, 3), decode_image(path)) for path in paths)
    assert sorted(decoded) == paths
    later.close()


def test_a_changed_file_is_decoded_anew(make_tree: Tree, tmp_path: Path) -> None:
    paths = sorted(make_tree("train", {"a": 3}).rglob("*.png"))
    cache = open_cache(tmp_path / "c", paths)
    before = cache.read(paths[0], 3).copy()
    cache.close()
    facts = paths[0].stat()
    paths[0].write_bytes(paths[1].read_bytes())
    os.utime(paths[0], ns=(facts.st_atime_ns, facts.st_mtime_ns))
    cache = open_cache(tmp_path / "c", paths)
    assert not np.array_equal(cache.read(paths[0], 3), before)
    assert np.array_equal(cache.read(paths[0], 3), decode_image(paths[1]))
    cache.close()


def test_channels_and_unexpected_files_are_no_business_of_the_cache(make_tree: Tree, tmp_path: Path) -> None:
    paths = sorted(make_tree("train", {"a": 3}).rglob("*.png"))
    cache = open_cache(tmp_path / "c", paths[:2])
    assert cache.read(paths[0], 1).shape == (10, 12, 1)
    assert cache.read(paths[0], 3).shape == (10, 12, 3)
    assert np.array_equal(cache.read(paths[2], 3), decode_image(paths[2]))
    cache.close()
    gray = open_cache(tmp_path / "c", paths[:2], channels=1)
    assert gray.read(paths[0], 1).shape == (10, 12, 1)
    gray.close()


def test_a_bad_file_is_named_as_without_a_cache(make_tree: Tree, tmp_path: Path) -> None:
    paths = sorted(make_tree("train", {"a": 2}).rglob("*.png"))
    paths[1].write_bytes(b"")
    cache = open_cache(tmp_path / "c", [*paths, tmp_path / "absent.png"])
    with pytest.raises(DataError, match="0 bytes"):
        cache.read(paths[1], 3)
    with pytest.raises(DataError, match="no such file"):
        cache.read(tmp_path / "absent.png", 3)
    cache.close()


def test_the_limit_is_that_of_all_packs_and_the_longest_unused_goes_first(make_tree: Tree, tmp_path: Path) -> None:
    sets = [sorted(make_tree(name, {"a": 3}).rglob("*.png")) for name in ("x", "y", "z")]
    folder = tmp_path / "c"
    packs: dict[Path, int] = {}
    for age, paths in zip((300, 200), sets[:2], strict=True):
        cache = open_cache(folder, paths)
        for path in paths:
            cache.read(path, 3)
        (pack,) = cache._packs._packs
        packs[pack.path] = pack.bytes
        cache.close()
        os.utime(pack.path, (1e9 - age, 1e9 - age))
    limit = sum(packs.values()) + 100
    third = open_cache(folder, sets[2], limit)
    for path in sets[2]:
        third.read(path, 3)
    third.close()
    assert sum(file.stat().st_size for file in folder.glob("*.pixels")) <= limit
    assert [path.exists() for path in packs] == [False, True]
    again = open_cache(folder, sets[2], limit)
    (pack,) = again._packs._packs
    assert all(pack.get(number) is not None for number in range(3))
    again.close()


def test_what_finds_no_room_is_decoded_each_time(
    make_tree: Tree, tmp_path: Path, decoded: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    paths = sorted(make_tree("train", {"a": 4}).rglob("*.png"))
    caplog.set_level(logging.INFO)
    cache = open_cache(tmp_path / "c", paths, 4096 + 2 * 10 * 12 * 3)
    for _ in range(3):
        for path in paths:
            assert np.array_equal(cache.read(path, 3), decode_image(path))
    assert sorted(decoded) == sorted([*paths, *paths[2:], *paths[2:]])
    assert caplog.text.count("is full") == 1
    cache.close()
    assert sum(file.stat().st_size for file in (tmp_path / "c").glob("*.pixels")) <= 4096 + 2 * 10 * 12 * 3


def test_a_full_disk_only_costs_time(
    make_tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    paths = sorted(make_tree("train", {"a": 3}).rglob("*.png"))
    cache = open_cache(tmp_path / "c", paths)

    def full(*_: object) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Pack, "put", full)
    for path in [*paths, *paths]:
        assert np.array_equal(cache.read(path, 3), decode_image(path))
    assert caplog.text.count("No space left") == 1
    cache.close()


def test_a_folder_that_cannot_be_written_only_costs_time(make_tree: Tree, tmp_path: Path) -> None:
    paths = sorted(make_tree("train", {"a": 2}).rglob("*.png"))
    (tmp_path / "c").write_text("a file, no folder")
    cache = open_cache(tmp_path / "c", paths)
    assert np.array_equal(cache.read(paths[0], 3), decode_image(paths[0]))
    cache.close()


def test_the_cache_lies_in_the_cache_folder_and_can_be_switched_off(
    make_tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted(make_tree("train", {"a": 2}).rglob("*.png"))
    monkeypatch.setenv("TAO_SKILL_CACHE", str(tmp_path / "cache"))
    with decoded_once([paths], 3, 0.0) as source:
        source.read(paths[0], 3)
    assert not list((tmp_path / "cache").rglob("*.pixels"))
    with decoded_once([paths, paths], 3, 1.0) as source:
        source.read(paths[0], 3)
    assert len(list((tmp_path / "cache" / "pixels").glob("*.pixels"))) == 1
    monkeypatch.setenv("TAO_SKILL_CACHE", str(paths[0]))
    with decoded_once([paths], 3, 1.0) as source:
        assert isinstance(source, Files)
