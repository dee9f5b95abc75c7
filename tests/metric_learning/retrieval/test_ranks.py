"""Ranks of the right references, against a full sort."""

import numpy as np
import pytest
import torch

from tao_skill.metric_learning.retrieval import ranks
from tao_skill.metric_learning.retrieval.ranks import _ranks_with_ties, relevant_ranks
from tao_skill.metric_learning.retrieval.search import BLOCK_BYTES


def ranks_of(queries, query_labels, references, reference_labels, block_bytes=BLOCK_BYTES) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    blocks = relevant_ranks(queries, query_labels, references, reference_labels, block_bytes)
    for block in blocks:
        for row, count, found_ranks in zip(block.rows, block.counts, block.ranks, strict=True):
            assert np.isinf(found_ranks[count:]).all()
            found[int(row)] = found_ranks[:count].astype(int).tolist()
    return found


def naive(queries, query_labels, references, reference_labels) -> dict[int, list[int]]:
    found = {}
    for row, (query, label) in enumerate(zip(queries, query_labels, strict=True)):
        order = sorted(range(len(references)), key=lambda place: (-float(query @ references[place]), place))
        right = [rank for rank, place in enumerate(order, 1) if reference_labels[place] == label]
        if right:
            found[row] = right
    return found


# Similarities of such vectors are whole numbers: many ties, none of them by rounding.
@pytest.mark.parametrize("block_bytes", [1, 20_000, BLOCK_BYTES])
@pytest.mark.parametrize("few", [0, 128])
@pytest.mark.parametrize("classes", [1, 2, 7, 40])
def test_ties_follow_the_references_order(
    monkeypatch: pytest.MonkeyPatch, classes: int, few: int, block_bytes: int
) -> None:
    monkeypatch.setattr(ranks, "_FEW", few)
    rng = np.random.default_rng(classes)
    queries = torch.tensor(rng.integers(-2, 3, (60, 5)), dtype=torch.float32)
    references = torch.tensor(rng.integers(-2, 3, (90, 5)), dtype=torch.float32)
    query_labels, reference_labels = rng.integers(0, classes, 60), rng.integers(0, classes, 90)
    inputs = queries, query_labels, references, reference_labels
    assert ranks_of(*inputs, block_bytes) == naive(*inputs)


def test_classes_of_very_different_sizes() -> None:
    """The second block of queries is larger than the first, whose window reaches the large class."""
    rng = np.random.default_rng(5)
    reference_labels = np.array([0] * 60 + [1 + number // 10 for number in range(30)] + list(range(4, 14)))
    query_labels = np.array([*range(4, 14), *(1 + number % 3 for number in range(30)), *[0] * 20])
    queries = torch.tensor(rng.integers(-2, 3, (60, 5)), dtype=torch.float32)
    references = torch.tensor(rng.integers(-2, 3, (100, 5)), dtype=torch.float32)
    inputs = queries, query_labels, references, reference_labels
    sizes = [stop - start for start, stop in ranks._blocks(np.array([1] * 10 + [10] * 30 + [60] * 20), 100, 1)]
    assert max(sizes) > sizes[0]
    assert ranks_of(*inputs, 1) == naive(*inputs)


def test_positive_and_negative_zero_are_a_tie() -> None:
    similar = np.array([-1.0, -0.0, 0.0, 1.0, 0.0], dtype=np.float32)
    for place, rank in enumerate([5, 2, 3, 1, 4]):
        assert _ranks_with_ties(similar, np.array([place])).tolist() == [rank]


@pytest.mark.parametrize("few", [0, 128])
def test_the_nearest_right_and_wrong_references(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(ranks, "_FEW", few)
    generator = torch.Generator().manual_seed(1)
    queries = torch.nn.functional.normalize(torch.randn(20, 4, generator=generator), dim=1)
    references = torch.nn.functional.normalize(torch.randn(30, 4, generator=generator), dim=1)
    query_labels, reference_labels = np.arange(20) % 5, np.arange(30) % 4
    similar = (queries @ references.T).numpy()
    seen = 0
    for block in relevant_ranks(queries, query_labels, references, reference_labels, 2000):
        for place, row in enumerate(block.rows):
            right = reference_labels == query_labels[row]
            assert block.nearest_right[place] == pytest.approx(similar[row, right].max(), abs=1e-6)
            assert block.nearest_wrong[place] == pytest.approx(similar[row, ~right].max(), abs=1e-6)
            seen += 1
    assert seen == 16


def test_without_another_class_nothing_wrong_is_near() -> None:
    same = torch.eye(3)
    (block,) = relevant_ranks(same, np.zeros(3, int), same, np.zeros(3, int), BLOCK_BYTES)
    assert np.isneginf(block.nearest_wrong).all()
    assert block.nearest_right.tolist() == [1, 1, 1]


def test_blocks_respect_the_memory_given() -> None:
    labels = np.arange(1000) % 10
    embeddings = torch.nn.functional.normalize(torch.randn(1000, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    blocks = list(relevant_ranks(embeddings, labels, embeddings, labels, 1_000_000))
    assert max(len(block.rows) for block in blocks) * (4 * 1000 + 80 * 100) <= 1_000_000
    assert sorted(row for block in blocks for row in block.rows) == list(range(1000))
