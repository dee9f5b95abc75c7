"""Pictures that are there twice, as the same file or nearly."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from tao_skill.metric_learning.data.duplicates import equal_files, near_duplicates
from tao_skill.metric_learning.data.fingerprints import FileFacts, fingerprints


def picture(seed: int) -> Image.Image:
    """Return a 96-pixel picture with some structure of all sizes."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((96, 96, 3))
    for size in (3, 6, 12, 24):
        coarse = Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8))
        pixels += np.asarray(coarse.resize((96, 96), Image.Resampling.BICUBIC), dtype=float)
    return Image.fromarray((pixels / 4).astype(np.uint8))


def facts_of(folder: Path, pictures: dict[str, Image.Image]) -> list[FileFacts]:
    folder.mkdir()
    for name, image in pictures.items():
        image.save(folder / name)
    return fingerprints([folder / name for name in pictures], workers=2)


def saved_again(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def test_facts_of_a_file(tmp_path: Path) -> None:
    facts, broken = facts_of(tmp_path / "a", {"x.jpg": picture(1).resize((40, 30)), "y.png": picture(2)})
    assert (facts.width, facts.height, facts.format, facts.reason) == (40, 30, "JPEG", None)
    assert facts.thumbnail is not None
    assert facts.thumbnail.shape == (16, 16, 3)
    assert facts.bytes == facts.path.stat().st_size
    broken.path.write_bytes(b"no image")
    (again,) = fingerprints([broken.path], workers=1)
    assert again.reason is not None
    assert again.thumbnail is None
    assert len(again.sha256) == 64
    (gone,) = fingerprints([tmp_path / "gone.png"], workers=1)
    assert (gone.sha256, gone.reason) == ("", "no such file")


def test_equal_files_are_grouped_and_a_file_is_no_copy_of_itself(tmp_path: Path) -> None:
    facts = facts_of(tmp_path / "a", {"x.png": picture(1), "y.png": picture(2)})
    shutil.copy(tmp_path / "a" / "x.png", tmp_path / "z.png")
    copy = fingerprints([tmp_path / "z.png"], workers=1)
    assert equal_files([*facts, *facts]) == []
    assert [[one.path.name for one in group] for group in equal_files([*facts, *copy])] == [["x.png", "z.png"]]


def test_pictures_saved_again_scaled_or_a_little_brighter_are_found(tmp_path: Path) -> None:
    one = picture(7)
    first = facts_of(tmp_path / "a", {"one.png": one, "other.png": picture(8)})
    changed = {
        "jpeg.jpg": saved_again(one, 40),
        "smaller.png": one.resize((60, 60)),
        "larger.png": one.resize((300, 300)),
        "brighter.png": ImageEnhance.Brightness(one).enhance(1.1),
        "unrelated.png": picture(9),
    }
    pairs = near_duplicates(first, facts_of(tmp_path / "b", changed))
    found = {pair.second.name for pair in pairs if pair.first.name == "one.png"}
    assert found == set(changed) - {"unrelated.png"}
    assert len(pairs) == len(found)
    assert pairs[0].likeness == max(pair.likeness for pair in pairs) <= 1


def test_unrelated_pictures_are_not_alike(tmp_path: Path) -> None:
    first = facts_of(tmp_path / "a", {f"{i}.png": picture(i) for i in range(20)})
    second = facts_of(tmp_path / "b", {f"{i}.png": picture(100 + i) for i in range(20)})
    assert near_duplicates(first, second) == []


def test_mirrored_and_one_coloured_pictures_are_not_near_duplicates(tmp_path: Path) -> None:
    flat = Image.new("RGB", (50, 50), (200, 10, 10))
    first = facts_of(tmp_path / "a", {"flat.png": flat, "one.png": picture(1)})
    second = facts_of(tmp_path / "b", {"flat.jpg": flat, "mirror.png": picture(1).transpose(0)})
    assert near_duplicates(first, second) == []
    assert near_duplicates([], second) == near_duplicates(first, []) == []


def test_equal_files_are_not_listed_as_near(tmp_path: Path) -> None:
    first = facts_of(tmp_path / "a", {"one.png": picture(1)})
    assert near_duplicates(first, facts_of(tmp_path / "b", {"one.png": picture(1)})) == []


def test_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = facts_of(tmp_path / "a", {f"{i}.png": picture(i) for i in range(6)})
    second = facts_of(tmp_path / "b", {f"{i}.jpg": saved_again(picture(i), 60) for i in range(6)})
    whole = near_duplicates(first, second)
    monkeypatch.setattr("tao_skill.metric_learning.data.duplicates._BLOCK_BYTES", 1)
    monkeypatch.setattr("tao_skill.metric_learning.data.duplicates._CANDIDATES", 1)
    assert len(whole) == 6
    assert near_duplicates(first, second) == whole
