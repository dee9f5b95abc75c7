from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tao_skill.errors import DataError
from tao_skill.metric_learning.data.bad_images import find_undecodable
from tao_skill.metric_learning.data.check import check_retrieval_sets, check_training_sets
from tao_skill.metric_learning.data.folders import read_class_folders
from tao_skill.metric_learning.data.image_set import ImageSet, image_set

Tree = Callable[..., Path]
REFERENCE, QUERY = "dataset.val_dataset.reference", "dataset.val_dataset.query"


@pytest.fixture
def read(make_tree: Tree) -> Callable[..., ImageSet]:
    def make(counts: dict[str, int], key: str = "dataset.train_dataset") -> ImageSet:
        return read_class_folders(make_tree(key, counts), key)

    return make


def train_check(train: ImageSet, reference: ImageSet | None = None, query: ImageSet | None = None, **kw: Any) -> Any:
    settings: dict[str, Any] = {"batch_size": 4, "num_instance": 2, "on_bad_image": "error", "workers": 2} | kw
    return check_training_sets(train, reference, query, **settings)


def retrieval_check(reference: ImageSet, query: ImageSet | None, **kw: Any) -> Any:
    settings: dict[str, Any] = {"open_set": False, "topk": 1, "on_bad_image": "error", "workers": 2} | kw
    return check_retrieval_sets(reference, query, **settings)


def problems(function: Callable[..., Any], *args: Any, **kw: Any) -> dict[str, str]:
    with pytest.raises(DataError) as caught:
        function(*args, **kw)
    assert caught.value.next_step
    return {problem.key: str(problem) for problem in caught.value.problems}


def test_sound_sets_pass_without_a_word(read: Callable[..., ImageSet]) -> None:
    checked = train_check(read({"a": 3, "b": 2}), read({"x": 1, "y": 1}, REFERENCE), read({"y": 1}, QUERY))
    assert checked.warnings == []
    assert checked.train.classes == ["a", "b"]
    assert checked.query.classes == checked.reference.classes == ["x", "y"]
    assert checked.query.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("batch_size", "instances", "expected"),
    [(18, 4, "multiple of dataset.num_instance = 4"), (16, 4, "at most 12"), (32, 2, "at most 6"), (0, 2, "multiple")],
)
def test_batches_that_cannot_be_drawn(  # R41
    read: Callable[..., ImageSet], batch_size: int, instances: int, expected: str
) -> None:
    train = read({"a": 5, "b": 5, "c": 5})
    with pytest.raises(DataError) as caught:
        train_check(train, batch_size=batch_size, num_instance=instances)
    assert {problem.key for problem in caught.value.problems} == {"train.batch_size"}
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("images", "world_size", "asked"),
    [
        (3, 1, {"train.batch_size": "at most 4,"}),  # 6 images: 6 would be no multiple of 4
        (1, 1, {"dataset.num_instance": "at most 2,"}),
        (3, 3, {"dataset.train_dataset": "at least 3 classes", "dataset.num_instance": "at most 2,"}),
    ],
)
def test_what_is_proposed_for_batches_can_be_drawn(
    read: Callable[..., ImageSet], images: int, world_size: int, asked: dict[str, str]
) -> None:
    train = read({"a": images, "b": images})
    found = problems(train_check, train, batch_size=8, num_instance=4, world_size=world_size)
    assert found.keys() == asked.keys()
    assert all(expected in found[key] for key, expected in asked.items())


def test_batch_larger_than_the_data_set(read: Callable[..., ImageSet]) -> None:
    found = problems(train_check, read({"a": 1, "b": 1, "c": 1}), batch_size=6)
    assert "the training set has 3 images" in found["train.batch_size"]


def test_processes_need_classes_of_their_own(read: Callable[..., ImageSet]) -> None:
    train = read({"a": 5, "b": 5, "c": 5})
    train_check(train)
    assert "at most 2 in each of 2 processes" in problems(train_check, train, world_size=2)["train.batch_size"]


def test_one_class_is_refused_with_a_hint_at_the_right_folder(read: Callable[..., ImageSet]) -> None:
    train = read({"reference/a": 3, "reference/b": 3})
    found = problems(train_check, train, batch_size=2)
    assert "one class: reference" in found["dataset.train_dataset"]
    assert f"should the path be {train.root / 'reference'}" in found["dataset.train_dataset"]


def test_small_classes_are_named_in_warnings(read: Callable[..., ImageSet]) -> None:
    checked = train_check(read({"big": 4, "few": 2, "lone": 1}), num_instance=4)
    single, few = checked.warnings
    assert "1 class has one image" in single
    assert single.endswith(": lone")
    assert few.endswith(": few")


def test_folder_warnings_are_passed_on(read: Callable[..., ImageSet]) -> None:
    checked = train_check(read({"a": 2, "b": 2, "void": 0}))
    assert [warning for warning in checked.warnings if warning.endswith(": void")]


def damage(images: ImageSet) -> list[Path]:
    """Make the first three images corrupt, truncated and empty."""
    corrupt, cut, empty = images.paths[:3]
    corrupt.write_text("no image")
    cut.write_bytes(cut.read_bytes()[:90])
    empty.write_bytes(b"")
    return [corrupt, cut, empty]


def test_every_bad_image_of_every_set_is_listed_at_once(read: Callable[..., ImageSet]) -> None:
    train, reference = read({"a": 5, "b": 5}), read({"a": 4}, REFERENCE)
    query = read({"a": 3, "z": 1}, QUERY)
    bad = damage(train) + damage(reference) + damage(query)
    found = problems(train_check, train, reference, query, batch_size=5)
    assert set(map(str, bad)) < set(found)
    assert "0 bytes" in found[str(bad[2])]
    assert "9 undecodable images" in found["dataset.on_bad_image"]
    assert "z" in found[QUERY]
    assert "multiple" in found["train.batch_size"]


def test_bad_images_are_skipped_with_a_warning_that_names_them(read: Callable[..., ImageSet]) -> None:
    train = read({"a": 2, "b": 5, "c": 2})
    bad = damage(train)
    checked = train_check(train, on_bad_image="skip")
    assert checked.train.classes == ["b", "c"]
    assert checked.train.labels.tolist() == [0, 0, 0, 0, 1, 1]
    assert not set(bad) & set(checked.train.paths)
    assert all(f"{path.parent.name}/{path.name}" in checked.warnings[0] for path in bad)
    assert checked.warnings[1].endswith(": a")


def test_skipping_everything_is_an_error(read: Callable[..., ImageSet]) -> None:
    train = read({"a": 3})
    damage(train)
    assert "none decodes" in problems(train_check, train, on_bad_image="skip")["dataset.train_dataset"]


def test_long_lists_are_cut_and_counted(make_set: Callable[..., ImageSet]) -> None:
    with pytest.raises(DataError) as caught:
        train_check(make_set({"a": 40, "b": 40}))
    assert len(caught.value.problems) == 51
    assert "80 undecodable images; 30 more" in str(caught.value.problems[-1])


def test_find_undecodable_keeps_order_and_tells_progress(read: Callable[..., ImageSet]) -> None:
    images = read({"a": 70})
    images.paths[65].write_bytes(b"")
    images.paths[2].write_bytes(b"")
    steps: list[tuple[int, int]] = []
    bad = find_undecodable(images.paths, 0, lambda done, total: steps.append((done, total)))
    assert [path for path, _ in bad] == [images.paths[2], images.paths[65]]
    assert steps == [(32, 70), (64, 70), (70, 70)]
    assert find_undecodable([], 4) == []


def test_a_missing_query_class_is_named_and_allowed_for_open_sets(read: Callable[..., ImageSet]) -> None:
    reference, query = read({"a": 1, "c": 1}, REFERENCE), read({"b": 1, "c": 1, "d": 1}, QUERY)
    found = problems(retrieval_check, reference, query)[QUERY]
    assert "'b, d'" in found
    assert "evaluate.open_set=true" in found
    assert "open_set" not in problems(train_check, read({"a": 2, "b": 2}), reference, query)[QUERY]
    checked = retrieval_check(reference, query, open_set=True)
    assert checked.warnings[0].endswith(": b, d")
    assert checked.reference.classes == checked.query.classes == ["a", "c", "b", "d"]
    assert checked.query.labels.tolist() == [2, 1, 3]


@pytest.mark.parametrize("open_set", [False, True])
def test_names_without_overlap_are_explained(read: Callable[..., ImageSet], open_set: bool) -> None:  # R56
    reference, query = read({"Red Apple": 1, "Pear": 1}, REFERENCE), read({"red_apple": 1, "plum": 1}, QUERY)
    found = problems(retrieval_check, reference, query, open_set=open_set)[QUERY]
    assert "not one is in both" in found
    assert "red_apple and Red Apple" in found
    assert "dataset.class_map" in found


def test_topk_beyond_the_gallery(read: Callable[..., ImageSet]) -> None:
    reference, query = read({"a": 2}, REFERENCE), read({"a": 1}, QUERY)
    retrieval_check(reference, query, topk=2)
    assert "at most 2" in problems(retrieval_check, reference, query, topk=3)["evaluate.topk"]
    found = problems(retrieval_check, reference, None, topk=3, images=query, action="inference")
    assert "at most 2" in found["inference.topk"]


def test_inference_images_are_checked_too(read: Callable[..., ImageSet], tmp_path: Path) -> None:
    reference = read({"a": 2}, REFERENCE)
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.new("RGB", (4, 4)).save(good)
    bad.write_bytes(b"x")
    both = image_set(tmp_path, "inference.input_path", [("", bad), ("", good)])
    assert str(bad) in problems(retrieval_check, reference, None, images=both)
    checked = retrieval_check(reference, None, images=both, on_bad_image="skip")
    assert checked.images == [good]
    found = problems(retrieval_check, reference, None, images=both.without([good]), on_bad_image="skip")
    assert "none decodes" in found["inference.input_path"]


def test_query_and_reference_in_one_folder_is_a_warning(read: Callable[..., ImageSet]) -> None:
    both = read({"a": 2}, REFERENCE)
    assert "every query finds itself" in retrieval_check(both, both).warnings[0]


def test_queries_that_are_references_too_are_counted(read: Callable[..., ImageSet], tmp_path: Path) -> None:
    query = read({"a": 2, "b": 2}, QUERY)
    gallery = replace(query.without({query.paths[0]}), root=tmp_path / "gallery", key=REFERENCE)
    (warning,) = retrieval_check(gallery, query).warnings
    assert "3 images are in dataset.val_dataset.reference too, where they find themselves" in warning
    assert str(query.paths[1]) in warning
