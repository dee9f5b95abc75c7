"""Exact search: order, ties, bounds, and what it refuses."""

import numpy as np
import pytest
import torch

from tao_skill.errors import UsageError
from tao_skill.metric_learning.retrieval import search
from tao_skill.metric_learning.retrieval.search import full_precision, top_k, unit_rows

# Components are multiples of 1/2 on four places, so that every similarity is exact and equal ones are equal.
EAST, NORTH, BOTH = [1.0, 0, 0, 0], [0, 1.0, 0, 0], [0.5, 0.5, 0.5, 0.5]


def random_units(rows: int, width: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, width, generator=generator), dim=1)


def naive(queries: torch.Tensor, references: torch.Tensor, k: int) -> tuple[list[list[float]], list[list[int]]]:
    distances, indices = [], []
    for query in queries:
        found = sorted((float(((query - one) ** 2).sum()), place) for place, one in enumerate(references))[:k]
        distances.append([distance for distance, _ in found])
        indices.append([place for _, place in found])
    return distances, indices


@pytest.mark.parametrize("k", [1, 3, 6])
def test_equals_a_naive_loop_on_six_points(k: int) -> None:
    queries, references = random_units(6, 5, 0), random_units(6, 5, 1)
    distances, indices = top_k(queries, references, k)
    expected_distances, expected_indices = naive(queries, references, k)
    assert indices.tolist() == expected_indices
    np.testing.assert_allclose(distances, expected_distances, atol=1e-6)


def test_distances_are_squared_l2_of_unit_vectors_ascending() -> None:
    references = torch.tensor([[-2.0, 0, 0, 0], NORTH, [0.5, 0, 0, 0]])
    distances, indices = top_k(torch.tensor([[3.0, 0, 0, 0]]), references, 3)
    assert indices.tolist() == [[2, 1, 0]]
    assert distances.tolist() == [[0, 2, 4]]


@pytest.mark.parametrize("tile", [1, 2, 3, 65_536])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 7])
def test_ties_keep_the_order_of_the_references(monkeypatch: pytest.MonkeyPatch, tile: int, k: int) -> None:
    monkeypatch.setattr(search, "_TILE_COLUMNS", tile)
    references = torch.tensor([NORTH, BOTH, EAST, BOTH, NORTH, EAST, BOTH])
    _, indices = top_k(torch.tensor([EAST, NORTH]), references, k)
    assert indices.tolist() == [[2, 5, 1, 3, 6, 0, 4][:k], [0, 4, 1, 3, 6, 2, 5][:k]]


def test_collapsed_embeddings_give_the_first_references() -> None:
    distances, indices = top_k(torch.tensor([BOTH] * 40), torch.tensor([BOTH] * 500), 5)
    assert (indices == torch.arange(5)).all()
    assert (distances == 0).all()


def test_blocks_and_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, references = random_units(101, 32, 2), random_units(333, 32, 3)
    whole = top_k(queries, references, 20)
    monkeypatch.setattr(search, "_TILE_COLUMNS", 50)
    parts = top_k(queries, references, 20, block_bytes=1)
    assert torch.equal(whole[1], parts[1])
    torch.testing.assert_close(whole[0], parts[0])


def test_memory_of_a_block_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    monkeypatch.setattr(
        search, "block_buffer", lambda rows, columns: sizes.append(rows * columns * 4) or torch.empty(rows * columns)
    )
    top_k(random_units(2000, 4, 4), random_units(1000, 4, 5), 1, block_bytes=200_000)
    assert sizes == [200_000]


# The peer takes index -1 for the last image when topk is larger than the gallery.
@pytest.mark.parametrize("k", [0, -1, 4])
def test_a_k_that_does_not_fit_the_gallery_is_refused(k: int) -> None:
    with pytest.raises(UsageError, match="between 1 and the number of reference images, 3"):
        top_k(random_units(2, 4, 6), random_units(3, 4, 7), k)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_rows_that_are_not_finite_are_named(value: float) -> None:
    queries = random_units(12, 4, 8)
    queries[3, 1] = queries[11, 0] = value
    with pytest.raises(UsageError, match=r"query embeddings.*rows 3, 11 \(2 of 12\)"):
        top_k(queries, random_units(3, 4, 9), 1)


def test_many_bad_rows_are_counted() -> None:
    with pytest.raises(UsageError, match=r"rows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … \(30 of 30\)"):
        unit_rows(torch.full((30, 2), torch.nan), "embeddings")


@pytest.mark.parametrize("shape", [(0, 4), (4,), (4, 0)])
def test_empty_embeddings_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="no embeddings"):
        top_k(torch.zeros(shape), random_units(3, 4, 9), 1)


def test_embeddings_of_different_width_are_refused() -> None:
    with pytest.raises(UsageError, match="different models"):
        top_k(random_units(2, 4, 0), random_units(2, 5, 0), 1)


def test_takes_numpy_half_and_read_only_arrays() -> None:
    references = random_units(9, 4, 1).numpy()
    references.flags.writeable = False
    expected = top_k(random_units(5, 4, 0), torch.tensor(references), 2)[1]
    assert torch.equal(top_k(random_units(5, 4, 0).double(), references, 2)[1], expected)
    assert unit_rows(torch.ones(2, 4, dtype=torch.bfloat16), "embeddings").tolist() == [BOTH, BOTH]


def test_a_zero_vector_is_equally_far_from_everything() -> None:
    distances, indices = top_k(torch.zeros(1, 4), random_units(3, 4, 0), 3)
    assert distances.tolist() == [[2, 2, 2]]
    assert indices.tolist() == [[0, 1, 2]]


def test_unit_vectors_are_not_copied() -> None:
    units = random_units(5, 4, 0)
    assert unit_rows(units, "embeddings").data_ptr() == units.data_ptr()


def test_references_of_any_length_are_scaled_tile_by_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their unit vectors as a whole would take the memory of a second gallery."""
    monkeypatch.setattr(search, "_TILE_COLUMNS", 50)
    scaled, sizes = search._scaled, []
    monkeypatch.setattr(search, "_scaled", lambda rows, norms: sizes.append(len(rows)) or scaled(rows, norms))
    queries, references = random_units(20, 8, 0), random_units(330, 8, 1)
    lengths = torch.linspace(0.5, 3, 330)[:, None]
    distances, indices = top_k(queries, references * lengths, 7)
    assert sizes == [50] * 6 + [30]
    expected_distances, expected_indices = naive(queries, references, 7)
    assert indices.tolist() == expected_indices
    np.testing.assert_allclose(distances, expected_distances, atol=1e-5)


def test_precision_settings_of_training_do_not_reach_the_search() -> None:
    queries, references = random_units(50, 64, 0), random_units(50, 64, 1)
    expected = top_k(queries, references, 5)[0]
    torch.set_float32_matmul_precision("medium")
    try:
        with full_precision():
            assert torch.get_float32_matmul_precision() == "highest"
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = top_k(queries, references, 5)[0]
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.equal(found, expected)
