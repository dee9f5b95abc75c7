from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tao_skill.errors import DataError
from tao_skill.metric_learning.data.folders import (
    read_class_folders,
    read_class_map,
    read_image_file,
    read_image_folder,
)

Tree = Callable[..., Path]
KEY = "dataset.train_dataset"


def problems_of(root: object) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_class_folders(root, KEY)  # type: ignore[arg-type]
    assert all(problem.key for problem in caught.value.problems)
    return [str(problem) for problem in caught.value.problems]


def test_classes_are_the_sorted_folder_names(make_tree: Tree) -> None:  # R37
    root = make_tree("train", {"pear": 2, "apple": 1, "fig 2": 3})
    images = read_class_folders(root, KEY)
    assert images.classes == ["apple", "fig 2", "pear"]
    assert images.labels.tolist() == [0, 1, 1, 1, 2, 2]
    assert images.labels.dtype == np.int64
    assert images.paths[0] == root / "apple" / "0.png"
    assert images.images_per_class() == [1, 3, 2]
    assert images.warnings == []
    assert images.key == KEY


@pytest.mark.parametrize("root", [None, "", "???", "<S3_TRAIN>/x>"])
def test_a_root_that_is_not_given_is_refused(root: str | None) -> None:  # R31
    (problem,) = problems_of(root)
    assert KEY in problem
    assert "class folders" in problem


def test_missing_root_file_and_archive_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file.png").write_bytes(b"x")
    (tmp_path / "train.tar.gz").write_bytes(b"x")
    assert "nothing exists" in problems_of(tmp_path / "absent")[0]
    assert "this is a file" in problems_of(tmp_path / "file.png")[0]
    assert "extract the archive first" in problems_of(tmp_path / "train.tar.gz")[0]


def test_no_class_folder_is_refused_and_stray_images_are_counted(make_tree: Tree) -> None:
    root = make_tree("train", {"apple": 2})
    assert "2 images lie directly in it" in problems_of(root / "apple")[0]
    empty = root.parent / "empty"
    empty.mkdir()
    assert "no class folder" in problems_of(empty)[0]


def test_empty_class_folders_never_shift_labels_and_are_named(make_tree: Tree) -> None:
    images = read_class_folders(make_tree("train", {"a": 1, "b": 0, "c": 1}), KEY)
    assert images.classes == ["a", "c"]
    assert images.labels.tolist() == [0, 1]
    (warning,) = images.warnings
    assert "without an image" in warning
    assert warning.endswith(": b")


def test_only_empty_class_folders_are_an_error_that_names_them(make_tree: Tree) -> None:
    (problem,) = problems_of(make_tree("train", {"a": 0, "b": 0}))
    assert "a, b" in problem


def test_strays_hidden_entries_and_other_files_are_ignored_and_listed(make_tree: Tree) -> None:  # 8.17
    root = make_tree("train", {"b": 1, "c": 1})
    (root / "aaa.png").write_bytes(b"")
    (root / ".DS_Store").write_bytes(b"")
    (root / "b" / "notes.txt").write_text("x")
    (root / "b" / "._0.png").write_bytes(b"x")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "0.png").write_bytes(b"x")
    images = read_class_folders(root, KEY)
    assert images.classes == ["b", "c"]
    assert images.labels.tolist() == [0, 1]
    text = "\n".join(images.warnings)
    for name in ("aaa.png", ".DS_Store", "notes.txt", "._0.png", "__MACOSX"):
        assert name in text


def test_nested_images_belong_to_the_class_folder(make_tree: Tree) -> None:
    root = make_tree("train", {"a/deep/deeper": 2, "b": 1})
    images = read_class_folders(root, KEY)
    assert images.classes == ["a", "b"]
    assert images.labels.tolist() == [0, 0, 1]


def test_link_loops_end_and_links_to_other_classes_are_not_followed(make_tree: Tree) -> None:
    root = make_tree("train", {"a": 1, "b": 1})
    (root / "a" / "self").symlink_to(root / "a")
    (root / "a" / "up").symlink_to("..")
    (root / "a" / "other").symlink_to(root / "b")
    (root / "a" / "top").symlink_to("/")
    (root / "b" / "round").symlink_to(root / "b" / "round")
    (root / "loop").symlink_to(root)
    images = read_class_folders(root, KEY)
    assert images.classes == ["a", "b"]
    assert len(images) == 2
    assert "not followed" in "\n".join(images.warnings)


def test_no_image_gets_two_labels_by_a_link(make_tree: Tree) -> None:
    root = make_tree("train", {"a": 1, "b/inner": 2, "c": 1})
    (root / "a" / "other").symlink_to(root / "b" / "inner")
    (root / "a" / "own").mkdir()
    (root / "a" / "again").symlink_to(root / "a" / "own")
    images = read_class_folders(root, KEY)
    assert images.images_per_class() == [1, 2, 1]
    assert "a/other" in "\n".join(images.warnings)
    (root / "same").symlink_to("c")
    (root / "within").symlink_to(root / "b" / "inner")
    same, within = problems_of(root)
    assert "same" in same
    assert "those of c" in same
    assert "those of b" in within


def test_class_folders_and_images_may_be_links(make_tree: Tree) -> None:
    store = make_tree("store", {"x": 2})
    root = make_tree("train", {"b": 1})
    (root / "a").symlink_to(store / "x")
    (root / "b" / "linked.png").symlink_to(store / "x" / "0.png")
    assert read_class_folders(root, KEY).labels.tolist() == [0, 0, 1, 1]


def test_a_pipe_is_not_opened_and_a_dangling_link_is_kept_for_the_check(make_tree: Tree) -> None:
    root = make_tree("train", {"a": 1})
    os.mkfifo(root / "a" / "pipe.png")
    (root / "a" / "zz.png").symlink_to(root / "nothing.png")
    images = read_class_folders(root, KEY)
    assert [path.name for path in images.paths] == ["0.png", "zz.png"]
    assert "pipe.png" in images.warnings[0]


def test_unicode_names_are_composed_so_that_systems_agree(make_tree: Tree) -> None:
    name = unicodedata.normalize("NFD", "café ☕")
    images = read_class_folders(make_tree("train", {name: 1, "b": 1}), KEY)
    assert images.classes == ["b", unicodedata.normalize("NFC", "café ☕")]


def test_a_name_that_is_not_utf8_is_refused_in_printable_form(make_tree: Tree) -> None:
    root = make_tree("train", {"a": 1})
    os.rename(bytes(root / "a" / "0.png"), bytes(root / "a") + b"/\xff.png")  # noqa: PTH104 - bytes
    (problem,) = problems_of(root)
    assert "UTF-8" in problem
    problem.encode("utf-8")


def test_a_folder_without_permission_is_named(make_tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_tree("train", {"a": 1})
    real = os.scandir

    def deny(path: Path) -> object:  # root may read anything, so the refusal is played
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", deny)
    (problem,) = problems_of(root)
    assert "Permission denied" in problem
    assert str(root / "a") in problem


def test_class_map_renames_and_joins_folders(make_tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("007: zebra\nno: apple\n1e3: apple\n")
    names = read_class_map(tmp_path / "map.yaml")
    assert names == {"007": "zebra", "no": "apple", "1e3": "apple"}
    images = read_class_folders(make_tree("train", {"007": 1, "no": 1, "1e3": 1, "pear": 1}), KEY, names)
    assert images.classes == ["apple", "pear", "zebra"]
    assert images.labels.tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1]\n", "a: {b: c}\n", "{", "plain", "", "a:\n"])
def test_a_class_map_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "map.yaml").write_text(text)
    with pytest.raises(DataError, match=r"dataset\.class_map"):
        read_class_map(tmp_path / "map.yaml")
    with pytest.raises(DataError, match=r"dataset\.class_map"):
        read_class_map(tmp_path / "absent.yaml")


def test_image_folder_may_be_flat_nested_or_a_class_tree(make_tree: Tree) -> None:
    root = make_tree("images", {"b": 1, "a/x": 1})
    (root / "a" / "up").symlink_to(root)
    (root / "b" / "notes.txt").write_text("x")
    found = read_image_folder(root, "inference.input_path")
    assert found.paths == [root / "a/x/0.png", root / "b/0.png"]
    assert found.warnings == [
        "inference.input_path: 1 file that is no image was ignored: b/notes.txt",
        "inference.input_path: 1 link back into the data set was not followed: a/up",
    ]
    assert read_image_folder(root / "b", "inference.input_path").paths == [root / "b/0.png"]


def test_image_folder_and_file_say_what_they_expected(make_tree: Tree) -> None:
    root = make_tree("images", {"a": 1, "none": 0})
    key = "inference.input_path"
    for bad in (None, "", root / "absent", root / "a" / "0.png", root / "none"):
        with pytest.raises(DataError, match=key):
            read_image_folder(bad, key)
    assert read_image_file(root / "a" / "0.png", key).paths == [root / "a" / "0.png"]
    for bad in (None, "", root / "absent.png", root):
        with pytest.raises(DataError, match=key):
            read_image_file(bad, key)
