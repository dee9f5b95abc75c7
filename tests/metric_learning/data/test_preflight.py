"""The report on data sets: each thing that may be wrong, and that sound data raises no word."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tao_skill.errors import DataError
from tao_skill.metric_learning.data.preflight import DataSet, check_data

Tree = Callable[..., Path]
SOUND = {"apple": 3, "pear": 2}


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Give a function that checks the folders train, reference and query, as far as they are there."""

    def check(**kw: Any) -> dict[str, Any]:
        sets = [DataSet(role, role, str(tmp_path / role), "t") for role in ("train", "reference", "query")]  # type: ignore[arg-type]
        report = check_data([one for one in sets if Path(one.path).exists()], workers=2, **kw)
        json.dumps(report, allow_nan=False)
        return report

    return check


def big(root: Path, seed: int = 0) -> Path:
    """Give each image of a tree a size and a picture of its own."""
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        with Image.open(path) as image:
            image.rotate(7 * number + 31 * seed).resize((64 + number, 48)).save(path)
    return root


def test_sound_data(make_tree: Tree, look: Callable[..., dict[str, Any]]) -> None:
    big(make_tree("train", SOUND))
    report = look()
    assert report["ok"]
    assert report["problems"] == report["warnings"] == []
    (one,) = report["sets"]
    assert one["class_counts"] == {"apple": 3, "pear": 2}
    assert one["images_per_class"] == {"min": 2, "median": 2.5, "max": 3}
    assert one["width"] == {"min": 64, "median": 66, "max": 68}
    assert one["height"] == {"min": 48, "median": 48, "max": 48}
    assert one["formats"] == {"PNG": 5}
    assert one["bytes"] > 0


def test_damage_one_image_classes_and_small_images(make_tree: Tree, look: Callable[..., dict[str, Any]]) -> None:
    root = big(make_tree("train", {"a": 3, "b": 1, "c": 1}))
    (root / "a" / "0.png").write_bytes(b"")
    (root / "a" / "1.png").write_bytes((root / "a" / "1.png").read_bytes()[:200])
    Image.new("RGB", (20, 90)).save(root / "b" / "0.png")
    report = look()
    assert not report["ok"]
    assert {Path(one["key"]).name: one["value"] for one in report["problems"]}["0.png"] == "the file is empty (0 bytes)"
    assert len(report["problems"]) == 2
    assert any("2 of 3 classes have one image: b, c" in one for one in report["warnings"])
    assert any("shorter than 32 pixels" in one for one in report["warnings"])
    assert report["sets"][0]["undecodable"] == 2


def test_gray_of_which_few_shades_are_left_is_told(make_tree: Tree, look: Callable[..., dict[str, Any]]) -> None:
    root = big(make_tree("train", SOUND))
    for name, most in (("0", 4095), ("1", 40_000)):
        Image.fromarray(np.full((48, 64), most, dtype=np.uint16)).save(root / "apple" / f"{name}.png")
    (warning,) = look()["warnings"]
    assert "1 deep gray image fills little" in warning
    assert str(root / "apple" / "0.png") in warning


# R56
def test_names_of_reference_and_query(make_tree: Tree, look: Callable[..., dict[str, Any]]) -> None:
    big(make_tree("reference", {"Red Apple": 1, "pear": 1}))
    big(make_tree("query", {"red_apple": 1, "plum": 1}), seed=3)
    report = look()
    assert [one["key"] for one in report["problems"]] == ["query"]
    assert "red_apple and Red Apple" in report["problems"][0]["expected"]
    assert report["names"] == [
        {"reference": "reference", "query": "query", "shared": 0, "only_query": ["plum", "red_apple"],
         "only_reference": 2}
    ]  # fmt: skip


def test_some_unknown_classes_are_a_warning_for_evaluation_and_a_problem_for_training(
    make_tree: Tree, look: Callable[..., dict[str, Any]]
) -> None:
    big(make_tree("reference", SOUND))
    big(make_tree("query", {"apple": 1, "plum": 1}), seed=3)
    report = look()
    assert report["ok"]
    assert any("1 of 2 classes are not in reference: plum" in one for one in report["warnings"])
    big(make_tree("train", SOUND), seed=5)
    assert "classes that are in reference" in look()["problems"][0]["expected"]


def test_the_same_image_in_training_and_test(make_tree: Tree, look: Callable[..., dict[str, Any]]) -> None:
    train, query = big(make_tree("train", SOUND)), big(make_tree("query", SOUND), seed=3)
    big(make_tree("reference", SOUND), seed=6)
    shutil.copy(train / "apple" / "0.png", query / "apple" / "copy.png")
    with Image.open(train / "pear" / "0.png") as image:
        image.resize((100, 75)).save(query / "pear" / "again.jpg")
    duplicates = look()["duplicates"]
    (shared,) = duplicates["same_file"]
    assert (shared["sets"], shared["count"]) == (["train", "query"], 1)
    assert [Path(one).name for one in shared["some"][0]] == ["0.png", "copy.png"]
    (near,) = [one for one in duplicates["near"] if one["sets"] == ["train", "query"]]
    assert ["pear/0.png", "pear/again.jpg"] in [
        ["/".join(Path(p).parts[-2:]) for p in pair[:2]] for pair in near["some"]
    ]


def test_one_image_under_two_classes(make_tree: Tree, look: Callable[..., dict[str, Any]]) -> None:
    train = big(make_tree("train", SOUND))
    shutil.copy(train / "apple" / "0.png", train / "pear" / "wrong.png")
    report = look()
    assert report["duplicates"]["same_file_two_classes"]["count"] == 1
    assert any("several class names" in one for one in report["warnings"])


def test_sets_that_cannot_be_read_are_all_told(look: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "train").write_text("")
    (tmp_path / "query").mkdir()
    report = look()
    assert {one["key"] for one in report["problems"]} == {"train", "query"}
    assert "images" not in report["sets"][0]


def test_one_class_can_not_be_trained(make_tree: Tree, look: Callable[..., dict[str, Any]]) -> None:
    big(make_tree("train", {"only": 4}))
    assert "at least two classes" in look()["problems"][0]["expected"]


def test_the_class_map_is_used(make_tree: Tree, look: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    big(make_tree("train", SOUND))
    (tmp_path / "map.yaml").write_text("apple: fruit\npear: fruit\n")
    assert look(class_map=str(tmp_path / "map.yaml"))["sets"][0]["class_counts"] == {"fruit": 5}
    with pytest.raises(DataError):
        look(class_map=str(tmp_path / "none.yaml"))
