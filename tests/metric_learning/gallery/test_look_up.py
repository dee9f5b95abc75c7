"""Searching a gallery, exactly and with an index that is kept beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tao_skill.errors import DataError
from tao_skill.metric_learning.gallery.look_up import nearest_in_gallery, rivals
from tao_skill.metric_learning.gallery.reference import entries_as_set, gallery_as_set, open_gallery
from tao_skill.metric_learning.gallery.store import Contents, Entry, ModelOfGallery, change_gallery
from tao_skill.metric_learning.retrieval.ivf import IvfIndex
from tao_skill.metric_learning.retrieval.search import top_k

MODEL = ModelOfGallery("abc", 8, "best.pth")


def put(folder: Path, number: int) -> Contents:
    vectors = np.random.default_rng(number).standard_normal((number, 8), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    entries = [Entry(f"class {i % 7}", f"/images/{i}.png", str(i)) for i in range(number)]
    contents = change_gallery(folder, lambda _: Contents.of(MODEL, entries, vectors))
    assert contents is not None
    return contents


def test_the_index_is_built_once_for_each_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = put(tmp_path, 500)
    queries = torch.randn(20, 8)
    first = nearest_in_gallery(tmp_path, contents, queries, 3, "ivf")
    assert (tmp_path / f"index-{contents.version}.faiss").is_file()
    built = IvfIndex.build
    with monkeypatch.context() as patch:
        patch.setattr(IvfIndex, "build", None)  # a second search must not build
        again = nearest_in_gallery(tmp_path, contents, queries, 3, "ivf")
    assert torch.equal(first.indices, again.indices)
    assert IvfIndex.build == built
    changed = put(tmp_path, 300)
    assert not list(tmp_path.glob("index-*"))
    nearest_in_gallery(tmp_path, changed, queries, 3, "ivf")
    assert [path.name for path in tmp_path.glob("index-*")] == [f"index-{changed.version}.faiss"]


def test_a_damaged_index_is_built_again(tmp_path: Path) -> None:
    contents = put(tmp_path, 200)
    (tmp_path / f"index-{contents.version}.faiss").write_bytes(b"no index")
    found = nearest_in_gallery(tmp_path, contents, torch.from_numpy(contents.embeddings[:5]), 1, "ivf")
    assert found.indices[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_small_galleries_are_searched_exactly(tmp_path: Path) -> None:
    contents = put(tmp_path, 50)
    queries = torch.randn(6, 8)
    found = nearest_in_gallery(tmp_path, contents, queries, 4)
    assert found.facts["kind"] == "exact"
    assert torch.equal(found.indices, top_k(queries, contents.embeddings, 4)[1])
    assert not list(tmp_path.glob("index-*"))


def test_an_empty_gallery_says_so(tmp_path: Path) -> None:
    empty = Contents(MODEL, [], np.empty((0, 8), np.float32))
    with pytest.raises(DataError, match="is empty"):
        nearest_in_gallery(tmp_path, empty, torch.randn(1, 8), 1)


def test_a_gallery_as_a_reference_set(tmp_path: Path) -> None:
    contents = put(tmp_path, 20)
    images = gallery_as_set(tmp_path, "evaluate.gallery")
    assert images == entries_as_set(tmp_path, contents.entries, "evaluate.gallery")
    assert images.classes == [f"class {i}" for i in range(7)]
    named = [images.classes[position] for position in images.positions]
    assert named == [entry.label for entry in contents.entries]
    opened = open_gallery(str(tmp_path), "abc", "evaluate.gallery")
    assert opened is not None
    assert opened.images == images
    assert open_gallery("", "abc", "evaluate.gallery") is open_gallery(None, "abc", "evaluate.gallery") is None
    with pytest.raises(DataError, match="another model"):
        open_gallery(str(tmp_path), "abd", "evaluate.gallery")


def test_classes_that_nothing_tells_apart_are_named() -> None:
    vectors = np.eye(8, dtype=np.float32)[[0, 0, 1, 1, 2]]
    entries = [
        Entry(*one) for one in (("a", "1", "x"), ("b", "1", "x"), ("c", "2", "y"), ("d", "3", "z"), ("e", "4", "w"))
    ]
    contents = Contents(MODEL, entries, vectors)
    queries = torch.eye(8)[:3]
    for k, expected in ((1, [["b"], [], []]), (2, [["b"], ["d"], []])):
        found = nearest_in_gallery(Path(), contents, queries, k)
        # One file under two names is known without a look at other distances.
        assert rivals(contents, found) == expected
