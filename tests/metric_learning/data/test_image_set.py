from __future__ import annotations

from collections.abc import Callable

from tao_skill.metric_learning.data.image_set import ImageSet, name_some, share_classes

SetMaker = Callable[..., ImageSet]


def test_shared_classes_are_matched_by_name_not_by_position(make_set: SetMaker) -> None:  # 8.8 8.17
    reference = make_set({"b": 1, "d": 1, "e": 2})
    query = make_set({"a": 1, "c": 1, "d": 2, "e": 1})
    shared_reference, shared_query = share_classes(reference, query)
    assert shared_reference.classes == shared_query.classes == ["b", "d", "e", "a", "c"]
    assert shared_reference.labels.tolist() == reference.labels.tolist()
    for images, original in ((shared_reference, reference), (shared_query, query)):
        names = [images.classes[label] for label in images.labels]
        assert names == [path.parent.name for path in original.paths]
    known = shared_query.labels < len(reference.classes)
    assert [path.parent.name for path, is_known in zip(query.paths, known, strict=True) if is_known] == ["d", "d", "e"]


def test_sharing_works_with_an_empty_query(make_set: SetMaker) -> None:
    reference, query = share_classes(make_set({"a": 1}), make_set({}))
    assert query.classes == ["a"]
    assert query.labels.tolist() == []
    assert len(reference) == 1


def test_without_drops_images_and_classes_left_empty(make_set: SetMaker) -> None:
    images = make_set({"a": 1, "b": 2, "c": 1})
    rest = images.without({images.paths[0], images.paths[1]})
    assert rest.classes == ["b", "c"]
    assert rest.labels.tolist() == [0, 1]
    assert rest.paths == images.paths[2:]
    assert images.classes == ["a", "b", "c"]
    assert images.without(set(images.paths)).classes == []


def test_name_some_counts_the_rest() -> None:
    assert name_some(["a", "b"]) == "a, b"
    assert name_some(range(5), 2) == "0, 1 and 3 more"
    assert name_some([]) == ""
