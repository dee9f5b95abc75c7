from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tao_skill.errors import DataError
from tao_skill.metric_learning.data.load import load_evaluation_sets, load_inference_sets, load_training_sets

Tree = Callable[..., Path]
TRAIN, REFERENCE, QUERY = "dataset.train_dataset", "dataset.val_dataset.reference", "dataset.val_dataset.query"


def test_all_sets_are_read_and_named_by_class(make_tree: Tree) -> None:  # R29 R30
    train = make_tree("train", {"a": 2, "b": 2})
    checked = load_training_sets(
        train, make_tree("r", {"a": 1, "b": 1}), make_tree("q", {"b": 1}), batch_size=4, num_instance=2
    )
    assert len(checked.train) == 4
    assert checked.query is not None
    assert checked.query.labels.tolist() == [1]


def test_the_problems_of_all_sets_come_in_one_error(make_tree: Tree, tmp_path: Path) -> None:
    reference = make_tree("r", {"a": 2})
    (reference / "a" / "0.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        load_training_sets(
            None, reference, tmp_path / "no", class_map=tmp_path / "no.yaml", batch_size=4, num_instance=2
        )
    keys = {problem.key for problem in caught.value.problems}
    assert keys == {TRAIN, QUERY, "dataset.class_map", "dataset.on_bad_image", str(reference / "a" / "0.png")}


def test_validation_may_be_left_out_but_not_half_of_it(make_tree: Tree) -> None:  # R36
    train, reference = make_tree("train", {"a": 2, "b": 2}), make_tree("r", {"a": 2})
    checked = load_training_sets(train, "", None, batch_size=4, num_instance=2)
    assert checked.reference is None
    assert "nothing is validated" in checked.warnings[0]
    with pytest.raises(DataError, match=QUERY):
        load_training_sets(train, reference, None, batch_size=4, num_instance=2)


def test_the_class_map_serves_all_sets_and_unused_lines_are_named(make_tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("r1: apple\nq1: apple\nzz: plum\n")
    checked = load_evaluation_sets(
        make_tree("r", {"r1": 1, "pear": 1}), make_tree("q", {"q1": 2}), topk=1, class_map=tmp_path / "map.yaml"
    )
    assert checked.query is not None
    assert checked.query.classes == ["apple", "pear"]
    assert checked.query.labels.tolist() == [0, 0]
    assert checked.warnings == ["dataset.class_map: folders that no data set has: zz"]


def test_evaluation_needs_both_sets(make_tree: Tree) -> None:  # R36
    with pytest.raises(DataError, match=REFERENCE) as caught:
        load_evaluation_sets("", None, topk=1)
    assert [problem.key for problem in caught.value.problems] == [REFERENCE, QUERY]
    loaded = load_evaluation_sets(make_tree("r", {"a": 1}), make_tree("q", {"a": 1, "u": 1}), topk=1, open_set=True)
    assert loaded.warnings


@pytest.mark.parametrize("input_type", ["image_folder", "classification_folder"])
def test_inference_takes_folders_of_either_kind(make_tree: Tree, input_type: str) -> None:  # R27 R28
    reference, tree = make_tree("r", {"a": 1}), make_tree("in", {"x": 1, "y": 2})
    assert len(load_inference_sets(reference, tree, input_type, topk=1).images) == 3
    assert len(load_inference_sets(reference, tree / "y", input_type, topk=1).images) == 2
    (tree / "x" / "1.heic").touch()
    (warning,) = load_inference_sets(reference, tree, input_type, topk=1).warnings
    assert "1 file that is no image was ignored: x/1.heic" in warning


def test_inference_takes_one_image_and_reports_both_sides(make_tree: Tree) -> None:  # 8.11
    reference = make_tree("r", {"a": 1})
    image = reference / "a" / "0.png"
    assert load_inference_sets(reference, image, "image", topk=1).images == [image]
    with pytest.raises(DataError) as caught:
        load_inference_sets(None, image, "image_folder", topk=1)
    assert [problem.key for problem in caught.value.problems] == [REFERENCE, "inference.input_path"]
