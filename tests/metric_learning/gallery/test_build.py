"""A gallery is built aside: seen when it is whole, and what a killed build embedded isn't embedded again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tao_skill.errors import DataError, StorageError, UsageError
from tao_skill.metric_learning.gallery import add as adding
from tao_skill.metric_learning.gallery.add import Added, add_images
from tao_skill.metric_learning.gallery.build import ASIDE, build_gallery
from tao_skill.metric_learning.gallery.store import ModelOfGallery, find_gallery, read_gallery

Images = list[tuple[str, Path]]


def build(folder: Path, images: Images, embedder: Any, **kw: Any) -> Added:
    model = ModelOfGallery.of(embedder.facts, "model.pth")
    return build_gallery(folder, images, embedder, model, batch_size=4, workers=0, **kw)


def test_a_killed_build_is_no_gallery_and_goes_on(
    tmp_path: Path, images: Images, embedder: Any, killed_after_ten: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, images, embedder)
    assert not find_gallery(tmp_path)
    killed_after_ten.undo()
    built = build(tmp_path, images, embedder)
    assert (built.added, built.known, built.embedded) == (12, 0, 2)
    assert len(read_gallery(tmp_path).entries) == 12
    assert not (tmp_path / ASIDE).exists()
    with pytest.raises(UsageError, match="already"):
        build(tmp_path, images, embedder)


def test_the_gallery_in_use_serves_until_the_new_one_is_whole(
    tmp_path: Path, images: Images, embedder: Any, killed_after_ten: pytest.MonkeyPatch
) -> None:
    before = add_images(
        tmp_path, images[:3], embedder, ModelOfGallery.of(embedder.facts, "old.pth"), batch_size=4, workers=0
    )
    embedder.count = 0
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, images, embedder, overwrite=True)
    found = read_gallery(tmp_path)
    assert (found.version, found.model.source) == (before.contents.version, "old.pth")
    killed_after_ten.undo()
    # Of what the killed build embedded, only what is asked for now gets in.
    assert build(tmp_path, images[5:], embedder, overwrite=True).embedded == 2
    found = read_gallery(tmp_path)
    assert sorted(entry.path for entry in found.entries) == sorted(str(path) for _, path in images[5:])
    assert found.model.source == "model.pth"


def test_what_another_model_left_is_not_gone_on_with(
    tmp_path: Path,
    images: Images,
    embedder: Any,
    make_embedder: Callable[..., Any],
    killed_after_ten: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, images, embedder)
    killed_after_ten.undo()
    stranger = make_embedder(seed=1)
    assert build(tmp_path, images, stranger).embedded == 12
    assert read_gallery(tmp_path).model.fingerprint == stranger.facts.fingerprint
    assert build(tmp_path, images[2:5], embedder, overwrite=True).embedded == 3
    assert len(read_gallery(tmp_path).entries) == 3


def test_a_damaged_gallery_is_built_again_as_its_error_says(tmp_path: Path, images: Images, embedder: Any) -> None:
    build(tmp_path, images, embedder)
    next(tmp_path.glob("entries-*")).write_text("[")
    with pytest.raises(DataError, match="damaged") as raised:
        read_gallery(tmp_path)
    assert "--overwrite" in raised.value.next_step
    build(tmp_path, images[:3], embedder, overwrite=True)
    (tmp_path / "gallery.json").write_text("{")
    build(tmp_path, images, embedder, overwrite=True)
    assert len(read_gallery(tmp_path).entries) == 12


def test_two_builds_in_one_folder_exclude_each_other(
    tmp_path: Path, images: Images, embedder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = adding.embed_images

    def meanwhile(*args: Any, **kw: Any) -> torch.Tensor:
        with pytest.raises(StorageError, match="Another process is building"):
            build(tmp_path, images[:2], embedder)
        return original(*args, **kw)

    monkeypatch.setattr(adding, "embed_images", meanwhile)
    assert build(tmp_path, images, embedder).added == 12


def test_one_file_under_two_labels_stays_two_images(tmp_path: Path, images: Images, embedder: Any) -> None:
    label, path = images[0]
    assert build(tmp_path, [(label, path), ("other", path), (label, path)], embedder).embedded == 1
    assert read_gallery(tmp_path).classes() == {label: 1, "other": 1}


def test_a_folder_that_can_not_be_made_is_an_error(tmp_path: Path, images: Images, embedder: Any) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be written"):
        build(tmp_path / "file" / "g", images, embedder)
