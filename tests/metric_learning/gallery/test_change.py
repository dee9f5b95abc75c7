"""Adding embeds what is new and nothing else; removing takes what was named and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tao_skill.errors import DataError, UsageError
from tao_skill.metric_learning.embed import embed_images
from tao_skill.metric_learning.gallery import change
from tao_skill.metric_learning.gallery.change import Added, add_images, remove_images
from tao_skill.metric_learning.gallery.store import Contents, change_gallery, read_gallery

Images = list[tuple[str, Path]]


def add(folder: Path, images: Images, embedder: Any, **kw: Any) -> Added:
    return add_images(folder, images, embedder, "model.pth", **({"batch_size": 4, "workers": 0} | kw))


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


def test_another_model_is_refused_unless_the_gallery_is_overwritten(
    tmp_path: Path, images: Images, embedder: Any, make_embedder: Callable[..., Any]
) -> None:
    add(tmp_path, images[:2], embedder)
    stranger = make_embedder(seed=1)
    with pytest.raises(DataError, match="another model"):
        add(tmp_path, images, stranger)
    assert stranger.count == 0
    assert len(read_gallery(tmp_path).entries) == 2
    add(tmp_path, images[2:5], stranger, overwrite=True)
    found = read_gallery(tmp_path)
    assert len(found.entries) == 3
    assert found.model.fingerprint == stranger.facts.fingerprint


def test_what_was_embedded_is_kept_while_work_goes_on(
    tmp_path: Path, images: Images, embedder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change, "_CHUNK", 5)
    monkeypatch.setattr(change, "SECONDS_BETWEEN_SAVES", 0.0)
    original = change.embed_images

    def failing(*args: Any, **kw: Any) -> torch.Tensor:
        if embedder.count >= 10:
            raise KeyboardInterrupt
        return original(*args, **kw)

    monkeypatch.setattr(change, "embed_images", failing)
    with pytest.raises(KeyboardInterrupt):
        add(tmp_path, images, embedder)
    assert len(read_gallery(tmp_path).entries) == 10
    monkeypatch.setattr(change, "embed_images", original)
    assert add(tmp_path, images, embedder).embedded == 2


def test_what_others_add_meanwhile_stays(
    tmp_path: Path, images: Images, embedder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path, images[:1], embedder)
    original = change.embed_images

    def meanwhile(*args: Any, **kw: Any) -> torch.Tensor:
        monkeypatch.setattr(change, "embed_images", original)
        add(tmp_path, images[5:9], embedder)
        return original(*args, **kw)

    monkeypatch.setattr(change, "embed_images", meanwhile)
    add(tmp_path, images[3:7], embedder)
    assert len(read_gallery(tmp_path).entries) == 1 + 6


def test_another_model_that_took_over_meanwhile_is_noticed(
    tmp_path: Path, images: Images, embedder: Any, make_embedder: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path, images[:1], embedder)
    original = change.embed_images

    def meanwhile(*args: Any, **kw: Any) -> torch.Tensor:
        monkeypatch.setattr(change, "embed_images", original)
        add(tmp_path, images[:2], make_embedder(seed=1), overwrite=True)
        return original(*args, **kw)

    monkeypatch.setattr(change, "embed_images", meanwhile)
    with pytest.raises(DataError, match="another model"):
        add(tmp_path, images, embedder)
    assert len(read_gallery(tmp_path).entries) == 2


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
