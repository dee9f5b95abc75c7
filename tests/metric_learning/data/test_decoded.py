"""What was looked at is remembered as far as it lasts, and forgotten when it is old."""

import os
import time
from pathlib import Path

import pytest
from PIL import Image

from tao_skill.metric_learning.data.bad_images import with_decodable_images
from tao_skill.metric_learning.data.decoded import doubtful, remember
from tao_skill.metric_learning.data.findings import Findings
from tao_skill.metric_learning.data.image_set import image_set


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAO_SKILL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "a" / f"{number}.png" for number in range(3)]
    paths[0].parent.mkdir()
    for path in paths:
        Image.new("RGB", (8, 8)).save(path)
    return paths


def test_files_that_vanish_meanwhile_keep_no_old_ones(cache: Path, images: list[Path]) -> None:
    cache.mkdir(parents=True)
    for number in range(8):  # listed, but no more there when it is asked how old it is
        (cache / f"{number}.json").symlink_to(cache / "gone")
        (cache / f"old {number}.json").write_text("{}")
        os.utime(cache / f"old {number}.json", (1, 1))
    remember(images, {images[1]})
    assert not list(cache.glob("old*"))
    assert doubtful(images) == [images[1]]


def test_a_change_of_mode_and_another_working_folder_make_other_files(
    images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(images, ())
    assert doubtful(images) == []
    time.sleep(0.02)  # times of files are as coarse as the system's ticks
    images[0].chmod(0o600)
    assert doubtful(images) == images
    monkeypatch.chdir(images[0].parent)
    beside = [Path(path.name) for path in images]
    remember(beside, ())
    assert doubtful(images) == []
    other = images[0].parent.parent / "b"
    other.mkdir()
    for path in images:
        os.link(path, other / path.name)
    remember(beside, ())
    monkeypatch.chdir(other)
    assert doubtful(beside) == beside


def test_what_failed_once_is_looked_at_again_and_sound_files_are_not(images: list[Path]) -> None:
    """A verdict whose reason has passed, such as too many open files, would leave out sound images for months."""
    checked: list[int] = []

    def look() -> tuple[int, list[str]]:
        findings = Findings()
        given = image_set(images[0].parent, "key", [("a", path) for path in images])
        (kept,) = with_decodable_images([given], "skip", 1, lambda _, count: checked.append(count), findings)
        return len(kept or ()), findings.warnings

    remember(images, {images[1]})  # it failed, and is sound now
    assert look() == (3, [])
    assert look() == (3, [])
    assert checked == [1]
    images[2].write_bytes(b"no image")
    for _ in range(2):
        number, (warning,) = look()
        assert number == 2
        assert "not an image" in warning
    assert checked == [1, 3, 1]
