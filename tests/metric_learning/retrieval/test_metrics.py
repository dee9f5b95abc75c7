"""Retrieval metrics: against a naive loop, against AccuracyCalculator, and at the edges."""

import math

import numpy as np
import pytest
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

from tao_skill.errors import DataError, UsageError
from tao_skill.metric_learning.retrieval.metrics import ClassMetrics, RetrievalMetrics, retrieval_metrics

NAMES = {
    "precision_at_1": "precision_at_1",
    "r_precision": "r_precision",
    "mean_average_precision": "mean_average_precision",
    "mean_reciprocal_rank": "mean_reciprocal_rank",
    "mean_average_precision_at_r": "map_at_r",
}


def sample(queries: int, references: int, classes: int, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, 16, generator=generator)
    query_labels = torch.randint(0, classes, (queries,), generator=generator)
    reference_labels = torch.randint(0, classes, (references,), generator=generator)
    query = centres[query_labels] + 1.5 * torch.randn(queries, 16, generator=generator)
    reference = centres[reference_labels] + 1.5 * torch.randn(references, 16, generator=generator)
    return query, query_labels, reference, reference_labels


def naive(query, query_labels, reference, reference_labels, k: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in (*NAMES.values(), f"top_{k}_accuracy", f"precision_at_{k}")}
    for row, label in zip(query, query_labels.tolist(), strict=True):
        cosines = [float(torch.cosine_similarity(row, one, dim=0)) for one in reference]
        order = sorted(range(len(reference)), key=lambda place: (-cosines[place], place))
        hits = [int(reference_labels[place] == label) for place in order]
        right = sum(hits)
        precision = [sum(hits[: place + 1]) / (place + 1) for place in range(len(hits))]
        found["precision_at_1"].append(hits[0])
        found["r_precision"].append(precision[right - 1])
        found["mean_average_precision"].append(sum(map(math.prod, zip(precision, hits, strict=True))) / right)
        found["mean_reciprocal_rank"].append(1 / (1 + hits.index(1)))
        at_r = zip(precision[:right], hits[:right], strict=True)
        found["map_at_r"].append(sum(map(math.prod, at_r)) / right)
        found[f"top_{k}_accuracy"].append(int(any(hits[:k])))
        found[f"precision_at_{k}"].append(sum(hits[:k]) / k)
    return found


def exact_neighbours(query, k, references, _same):
    values, indices = (query @ references.T).sort(dim=1, descending=True, stable=True)
    return values[:, :k], indices[:, :k]


def test_equals_a_naive_loop_on_six_points() -> None:
    query, _, reference, _ = sample(6, 6, 3)
    labels = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 1, 2, 0, 1, 0])
    found = retrieval_metrics(query, labels[0], reference, labels[1], topk=[2])
    expected = naive(query, labels[0], reference, labels[1], 2)
    assert found.per_query.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found.per_query[name], values, atol=1e-12, err_msg=name)
        assert found.micro[name] == pytest.approx(np.mean(values))
        by_class = [np.mean(values[place : place + 2]) for place in (0, 2, 4)]
        assert found.macro[name] == pytest.approx(np.mean(by_class))


# 8.8: one name, one meaning; the micro and the macro mean are both there.
@pytest.mark.parametrize("macro", [False, True])
@pytest.mark.parametrize("classes", [3, 40, 300])
def test_equals_accuracy_calculator(classes: int, macro: bool) -> None:
    query, query_labels, reference, reference_labels = sample(500, 700, classes, seed=classes)
    found = retrieval_metrics(query, query_labels, reference, reference_labels)
    calculator = AccuracyCalculator(
        include=tuple(NAMES), avg_of_avgs=macro, knn_func=exact_neighbours, device=torch.device("cpu")
    )
    units = (torch.nn.functional.normalize(one, dim=1) for one in (query, reference))
    expected = calculator.get_accuracy(next(units), query_labels, next(units), reference_labels)
    for theirs, ours in NAMES.items():
        assert (found.macro if macro else found.micro)[ours] == pytest.approx(expected[theirs], abs=1e-6), theirs


@pytest.mark.parametrize("block_bytes", [1, 40_000])
def test_blocks_change_nothing(block_bytes: int) -> None:
    data = sample(60, 80, 5)
    whole, parts = retrieval_metrics(*data, topk=[5]), retrieval_metrics(*data, topk=[5], block_bytes=block_bytes)
    for name, values in whole.per_query.items():
        np.testing.assert_allclose(values, parts.per_query[name], atol=1e-12, err_msg=name)


def test_ties_are_ranked_in_the_gallerys_order() -> None:
    same = torch.ones(4, 3)
    found = retrieval_metrics(torch.ones(2, 3), [1, 0], same, [0, 1, 1, 0], topk=[1, 2])
    assert found.per_query["mean_reciprocal_rank"].tolist() == [1 / 2, 1]
    assert found.per_query["mean_average_precision"].tolist() == [(1 / 2 + 2 / 3) / 2, (1 + 2 / 4) / 2]
    assert found.per_query["top_1_accuracy"].tolist() == [0, 1]
    assert found.per_query["top_2_accuracy"].tolist() == [1, 1]
    assert found.per_query["precision_at_2"].tolist() == [0.5, 0.5]


def test_one_class_is_always_right() -> None:
    query, _, reference, _ = sample(20, 30, 2)
    found = retrieval_metrics(query, [0] * 20, reference, [0] * 30, topk=[30])
    assert set(found.micro.values()) == set(found.macro.values()) == {1.0}
    assert (found.num_classes, found.num_references, found.num_scored) == (1, 30, 20)


# 8.8, 8.17: rows are named by label, and a gallery class without queries doesn't shift or spoil them.
def test_the_table_of_classes_has_every_class() -> None:
    east, north = [1.0, 0.0], [0.0, 1.0]
    names = ["absent", "apple", "unasked", "cherry", "unknown"]
    query, query_labels = torch.tensor([east, east, north, east]), torch.tensor([1, 3, 3, 4])
    reference, reference_labels = torch.tensor([east, north, [-1.0, 0.0]]), torch.tensor([1, 3, 2])
    found = retrieval_metrics(query, query_labels, reference, reference_labels, class_names=names)
    assert found.per_class == [
        ClassMetrics("apple", 1, 1, 1.0, 1.0, 1.0, 1.0),
        ClassMetrics("unasked", 0, 1, None, None, None, None),
        ClassMetrics("cherry", 2, 1, 0.5, 0.5, 0.75, 0.75),
        ClassMetrics("unknown", 1, 0, None, None, None, None),
    ]
    assert found.macro["precision_at_1"] == 0.75
    assert found.micro["precision_at_1"] == pytest.approx(2 / 3)


def test_queries_of_unknown_classes_are_counted_and_left_out() -> None:
    query, query_labels, reference, reference_labels = sample(60, 80, 6)
    known = query_labels < 4
    gallery = reference_labels < 4
    inputs = reference[gallery], reference_labels[gallery]
    found = retrieval_metrics(query, query_labels, *inputs)
    expected = retrieval_metrics(query[known], query_labels[known], *inputs)
    assert found.micro == expected.micro
    assert found.macro == pytest.approx(expected.macro)
    assert (found.num_queries, found.num_scored, found.num_open_set) == (60, int(known.sum()), int((~known).sum()))
    assert found.num_open_set > 0
    assert np.isnan(found.per_query["precision_at_1"][~known.numpy()]).all()


# R56
def test_no_common_class_is_explained() -> None:
    query, _, reference, _ = sample(2, 2, 2)
    with pytest.raises(DataError, match=r"(?s)apple.*banana"):
        retrieval_metrics(query, [0, 0], reference, [1, 1], class_names=["apple", "banana"])


def check(**changes: object) -> RetrievalMetrics:
    query, query_labels, reference, reference_labels = sample(4, 5, 2)
    inputs = {"query": query, "query_labels": query_labels, "reference": reference, "labels": reference_labels}
    return retrieval_metrics(*(inputs | changes).values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": torch.full((4, 16), torch.nan)}, r"query embeddings.*rows 0, 1, 2, 3 \(4 of 4\)"),
        ({"reference": torch.full((5, 16), torch.inf)}, "reference embeddings"),
        ({"query": torch.zeros(0, 16), "query_labels": []}, "no embeddings"),
        ({"reference": torch.zeros(0, 16), "labels": []}, "no embeddings"),
        ({"reference": torch.ones(5, 3)}, "different models"),
        ({"query_labels": [0, 1]}, r"query labels.*\(4,\)"),
        ({"labels": [0.0, 1.0, 0.0, 1.0, 0.0]}, "reference labels.*whole numbers"),
        ({"labels": [0, 1, 0, 1, -1]}, "0 or more"),
    ],
)
def test_what_cannot_be_measured_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check(**changes)


def test_labels_beyond_the_class_names_are_refused() -> None:
    query, query_labels, reference, reference_labels = sample(4, 5, 2)
    with pytest.raises(UsageError, match="between 0 and 0"):
        retrieval_metrics(query, query_labels, reference, reference_labels, class_names=["only"])


def test_a_k_larger_than_the_gallery_is_refused() -> None:
    with pytest.raises(UsageError, match="between 1 and the number of reference images, 5"):
        retrieval_metrics(*sample(4, 5, 2), topk=[1, 6])
