"""Adding embeds what is new and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tao_skill.errors import DataError
from tao_skill.metric_learning.embed import embed_images
from tao_skill.metric_learning.gallery import add as adding
from tao_skill.metric_learning.gallery.add import Added, add_images
from tao_skill.metric_learning.gallery.build import build_gallery
from tao_skill.metric_learning.gallery.remove import remove_images
from tao_skill.metric_learning.gallery.store import ModelOfGallery, read_gallery

Images = list[tuple[str, Path]]


def add(folder: Path, images: Images, embedder: Any) -> Added:
    return add_images(folder, images, embedder, ModelOfGallery.of(embedder.facts, "model.pth"), batch_size=4, workers=0)


def test_embeddings_are_the_models_of_length_one(tmp_path: Path, images: Images, embedder: Any) -> None:
    added = add(tmp_path, images, embedder)
    assert (added.added, added.known, added.embedded) == (12, 0, 12)
    found = read_gallery(tmp_path)
    expected = embed_images(embedder, [Path(entry.path) for entry in found.entries], batch_size=12, workers=0)
    np.testing.assert_allclose(found.embeddings, torch.nn.functional.normalize(expected, dim=1), atol=1e-5)
    assert found.model.source == "model.pth"
    assert found.model.rejection == {"distance": 0.5}


def test_only_new_files_are_embedded(tmp_path: Path, images: Images, embedder: Any) -> None:
    add(tmp_path / "g", images[:8], embedder)
    before = read_gallery(tmp_path / "g")
    embedder.count = 0
    again = add(tmp_path / "g", images, embedder)
    assert (again.added, again.known, again.embedded, embedder.count) == (4, 8, 4, 4)
    after = {entry.sha256: row for entry, row in zip(again.contents.entries, again.contents.embeddings, strict=True)}
    for entry, row in zip(before.entries, before.embeddings, strict=True):
        assert after[entry.sha256].tolist() == row.tolist()
    # The same files elsewhere are the same images.
    for label, path in images:
        (tmp_path / "copy" / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "copy" / label / path.name)
    copies = [(label, tmp_path / "copy" / label / path.name) for label, path in images]
    assert add(tmp_path / "g", copies, embedder).embedded == 0
    assert len(read_gallery(tmp_path / "g").entries) == 12


def test_one_file_under_two_labels_is_embedded_once_and_is_two_images(
    tmp_path: Path, images: Images, embedder: Any
) -> None:
    label, path = images[0]
    assert add(tmp_path, [(label, path), ("other", path), (label, path)], embedder).embedded == 1
    assert read_gallery(tmp_path).classes() == {label: 1, "other": 1}
    assert add(tmp_path, [("third", path)], embedder).embedded == 0
    assert read_gallery(tmp_path).classes() == {label: 1, "other": 1, "third": 1}
    assert read_gallery(tmp_path).shared_images() == [sorted([label, "other", "third"])]


def test_another_model_is_refused(
    tmp_path: Path, images: Images, embedder: Any, make_embedder: Callable[..., Any]
) -> None:
    add(tmp_path, images[:2], embedder)
    stranger = make_embedder(seed=1)
    with pytest.raises(DataError, match="another model"):
        add(tmp_path, images, stranger)
    assert stranger.count == 0
    assert len(read_gallery(tmp_path).entries) == 2


def test_what_was_embedded_is_kept_while_work_goes_on(
    tmp_path: Path, images: Images, embedder: Any, killed_after_ten: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        add(tmp_path, images, embedder)
    assert len(read_gallery(tmp_path).entries) == 10
    killed_after_ten.undo()
    assert add(tmp_path, images, embedder).embedded == 2


def test_what_others_add_meanwhile_stays(
    tmp_path: Path, images: Images, embedder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path, images[:1], embedder)
    original = adding.embed_images

    def meanwhile(*args: Any, **kw: Any) -> torch.Tensor:
        monkeypatch.setattr(adding, "embed_images", original)
        add(tmp_path, images[5:9], embedder)
        return original(*args, **kw)

    monkeypatch.setattr(adding, "embed_images", meanwhile)
    add(tmp_path, images[3:7], embedder)
    assert len(read_gallery(tmp_path).entries) == 1 + 6


def test_what_others_remove_meanwhile_stays_removed(
    tmp_path: Path, images: Images, embedder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adding, "_CHUNK", 4)
    monkeypatch.setattr(adding, "SECONDS_BETWEEN_SAVES", 0.0)
    original = adding.embed_images

    def meanwhile(*args: Any, **kw: Any) -> torch.Tensor:
        if embedder.count == 8:
            assert remove_images(tmp_path, ["class_0"])[0] == 2  # which were saved with the first four
        return original(*args, **kw)

    monkeypatch.setattr(adding, "embed_images", meanwhile)
    added = add(tmp_path, images, embedder)
    assert (added.added, len(added.contents.entries)) == (12, 10)
    assert "class_0" not in read_gallery(tmp_path).classes()


def test_another_model_that_took_over_meanwhile_is_noticed(
    tmp_path: Path, images: Images, embedder: Any, make_embedder: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path, images[:1], embedder)
    other = make_embedder(seed=1)
    original = adding.embed_images

    def meanwhile(*args: Any, **kw: Any) -> torch.Tensor:
        monkeypatch.setattr(adding, "embed_images", original)
        build_gallery(
            tmp_path,
            images[:2],
            other,
            ModelOfGallery.of(other.facts, "other.pth"),
            batch_size=4,
            workers=0,
            overwrite=True,
        )
        return original(*args, **kw)

    monkeypatch.setattr(adding, "embed_images", meanwhile)
    with pytest.raises(DataError, match="another model"):
        add(tmp_path, images, embedder)
    assert len(read_gallery(tmp_path).entries) == 2
