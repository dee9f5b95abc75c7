"""Search with an index: what it finds, what it says of itself, and when it is taken."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from tao_skill.errors import NotAvailableError, UsageError
from tao_skill.metric_learning.retrieval import ivf
from tao_skill.metric_learning.retrieval.ivf import IvfIndex, search
from tao_skill.metric_learning.retrieval.search import top_k


def vectors(number: int, seed: int, classes: int = 50) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, 16, generator=torch.Generator().manual_seed(0))
    return centres[torch.arange(number) % classes] + 0.5 * torch.randn(number, 16, generator=generator)


def test_small_galleries_are_searched_exactly() -> None:
    queries, references = vectors(20, 1), vectors(60, 2)
    found = search(queries, references, 5)
    distances, indices = top_k(queries, references, 5)
    assert torch.equal(found.indices, indices)
    assert torch.equal(found.distances, distances)
    assert found.facts == {"kind": "exact", "recall": 1.0, "reason": "60 references are at most 100000"}


def test_an_index_finds_nearly_all_and_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ivf, "EXACT_UP_TO", 1000)
    queries, references = vectors(300, 1), vectors(4000, 2)
    found = search(queries, references, 5, index=IvfIndex.build)
    assert found.facts["kind"] == "ivf"
    assert found.facts["sample"] == 200
    assert 1 <= found.facts["cells_searched"] <= found.facts["cells"] == 4000 // 39
    _, exact = top_k(queries, references, 5)
    same = [len(set(a) & set(b)) / 5 for a, b in zip(exact.tolist(), found.indices.tolist(), strict=True)]
    assert sum(same) / len(same) >= 0.97
    assert found.facts["recall"] >= 0.99
    units = [torch.nn.functional.normalize(one, dim=1) for one in (queries, references)]
    expected = (units[0][:, None] - units[1][found.indices]).square().sum(dim=2)
    assert torch.allclose(found.distances, expected, atol=1e-5)


def test_an_index_that_is_not_kept_must_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ivf, "EXACT_UP_TO", 100)
    monkeypatch.setattr(ivf, "_QUERIES_THAT_PAY", 1000)
    few = search(vectors(40, 1), vectors(400, 2), 1)
    assert few.facts["kind"] == "exact"
    assert "a gallery keeps one" in few.facts["reason"]
    assert search(vectors(1000, 1), vectors(400, 2), 1).facts["kind"] == "ivf"


def test_queries_that_are_a_sample_by_themselves_need_no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ivf, "EXACT_UP_TO", 100)

    def never(_: torch.Tensor) -> IvfIndex:
        raise AssertionError("loaded")

    assert search(vectors(200, 1), vectors(400, 2), 1, index=never).facts["kind"] == "exact"


def test_references_without_groups_are_all_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ivf, "EXACT_UP_TO", 1000)
    monkeypatch.setattr(ivf, "_FIRST_CELLS", 1)
    generator = torch.Generator().manual_seed(0)
    queries, references = (torch.randn(number, 64, generator=generator) for number in (300, 4000))
    found = search(queries, references, 10, index=IvfIndex.build)
    assert found.facts["kind"] == "exact"
    assert "of 102 cells hold 0." in found.facts["reason"]
    assert torch.equal(found.indices, top_k(queries, references, 10)[1])


def test_more_cells_are_searched_until_the_recall_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ivf, "_FIRST_CELLS", 1)
    queries, references = torch.randn(100, 32), torch.randn(3000, 32)
    found = search(queries, references, 10, kind="ivf")
    assert found.facts["cells_searched"] > 1
    assert found.facts["recall"] >= 0.99


def test_cells_with_too_few_references_are_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ivf, "RECALL", 0.0)
    monkeypatch.setattr(ivf, "_FIRST_CELLS", 1)
    queries, references = vectors(5, 1), vectors(200, 2)
    found = search(queries, references, 190, kind="ivf")
    _, exact = top_k(queries, references, 190)
    assert torch.equal(found.indices, exact)


def test_one_reference_and_one_query() -> None:
    found = search(vectors(1, 1), vectors(1, 2), 1, kind="ivf")
    assert found.indices.tolist() == [[0]]
    with pytest.raises(UsageError):
        search(vectors(1, 1), vectors(1, 2), 2)


def test_an_index_survives_its_file(tmp_path: Path) -> None:
    queries, references = vectors(50, 1), torch.nn.functional.normalize(vectors(500, 2), dim=1)
    built = IvfIndex.build(references)
    built.save(tmp_path / "index.faiss")
    loaded = IvfIndex.load(tmp_path / "index.faiss")
    again = search(queries, references, 3, kind="ivf", index=lambda _: loaded)
    assert torch.equal(search(queries, references, 3, kind="ivf", index=lambda _: built).indices, again.indices)


def test_without_faiss_the_search_stays_exact_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ivf, "EXACT_UP_TO", 10)
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    found = search(vectors(5, 1), vectors(50, 2), 2)
    assert found.facts["kind"] == "exact"
    assert "[gallery]" in found.facts["reason"]
    with pytest.raises(NotAvailableError, match="faiss"):
        search(vectors(5, 1), vectors(50, 2), 2, kind="ivf")


def test_equal_references_rank_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ivf, "_FIRST_CELLS", 10_000)  # looks into all cells
    once = vectors(1000, 2)
    references = torch.cat([once, once.flip(0), once])
    queries = vectors(50, 1)
    for k in (1, 2, 6):
        found = search(queries, references, k, kind="ivf")
        assert torch.equal(found.indices, top_k(queries, references, k)[1])
