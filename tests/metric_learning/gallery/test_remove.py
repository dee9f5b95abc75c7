"""Removing takes what was named and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tao_skill.errors import DataError, UsageError
from tao_skill.metric_learning.gallery.add import Added, add_images
from tao_skill.metric_learning.gallery.remove import remove_images
from tao_skill.metric_learning.gallery.store import Contents, ModelOfGallery, change_gallery, read_gallery

Images = list[tuple[str, Path]]


def add(folder: Path, images: Images, embedder: Any) -> Added:
    return add_images(folder, images, embedder, ModelOfGallery.of(embedder.facts, "model.pth"), batch_size=4, workers=0)


def test_classes_and_single_images_are_removed(tmp_path: Path, images: Images, embedder: Any) -> None:
    add(tmp_path, images, embedder)
    entries = read_gallery(tmp_path).entries
    rows = {entry.path: row for entry, row in zip(entries, read_gallery(tmp_path).embeddings.tolist(), strict=True)}
    count, left = remove_images(tmp_path, ["class_0"], [entries[2].path, entries[5].sha256])
    assert (count, len(left.entries)) == (4, 8)
    assert "class_0" not in left.classes()
    assert [rows[entry.path] for entry in left.entries] == left.embeddings.tolist()


def test_nothing_is_removed_if_not_all_is_there(tmp_path: Path, images: Images, embedder: Any) -> None:
    add(tmp_path, images, embedder)
    with pytest.raises(UsageError) as caught:
        remove_images(tmp_path, ["class_0", "clas_1"], ["nowhere.png"])
    assert [problem.value for problem in caught.value.problems] == ["clas_1", "nowhere.png"]
    assert "did you mean class_1" in caught.value.problems[0].expected
    assert len(read_gallery(tmp_path).entries) == 12
    with pytest.raises(DataError):
        remove_images(tmp_path / "none", ["class_0"])
    assert not (tmp_path / "none").exists()


def test_an_emptied_gallery_takes_images_again(tmp_path: Path, images: Images, embedder: Any) -> None:
    add(tmp_path, images[:2], embedder)
    _, left = remove_images(tmp_path, sorted({label for label, _ in images[:2]}))
    assert (len(left.entries), left.embeddings.shape) == (0, (0, 8))
    assert add(tmp_path, images[:2], embedder).embedded == 2


def test_a_removal_sees_the_gallery_as_it_is_by_then(tmp_path: Path, images: Images, embedder: Any) -> None:
    add(tmp_path, images, embedder)

    def half(old: Contents | None) -> Contents:
        assert old is not None
        return Contents(old.model, old.entries[::2], old.embeddings[::2])

    change_gallery(tmp_path, half)
    assert remove_images(tmp_path, ["class_1"])[0] == 1
