"""Known or unknown: rates against a naive count, the choice of the distance, and the edges."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from tao_skill.metric_learning.retrieval.metrics import RetrievalMetrics, retrieval_metrics
from tao_skill.metric_learning.retrieval.open_set import (
    Rejection,
    auroc,
    choose_rejection,
    false_positive_rate,
    largest_distance,
    open_set_metrics,
    rejection_threshold,
)


def sample(seed: int = 0, unknown: bool = True) -> RetrievalMetrics:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(12, 8, generator=generator)
    query_labels = torch.arange(60) % (12 if unknown else 8)
    reference_labels = torch.arange(24) % 8
    query = centres[query_labels] + 0.7 * torch.randn(60, 8, generator=generator)
    reference = centres[reference_labels] + 0.7 * torch.randn(24, 8, generator=generator)
    return retrieval_metrics(query, query_labels, reference, reference_labels)


def test_distances_are_those_of_a_full_search() -> None:
    generator = torch.Generator().manual_seed(3)
    query, reference = torch.randn(9, 4, generator=generator), torch.randn(7, 4, generator=generator)
    labels, gallery = np.array([0, 1, 2] * 3), np.array([0, 0, 1, 1, 1, 0, 0])
    found = retrieval_metrics(query, labels, reference, gallery, block_bytes=1)
    units = [torch.nn.functional.normalize(one, dim=1) for one in (query, reference)]
    distances = torch.cdist(*units).square().numpy()
    for row in range(9):
        assert found.nearest_distance[row] == pytest.approx(distances[row].min(), abs=1e-5)
        other = distances[row][gallery != labels[row]]
        assert found.foreign_distance[row] == pytest.approx(other.min(), abs=1e-5)
    assert found.scored.tolist() == [True, True, False] * 3


def test_rates_are_those_of_a_naive_count() -> None:
    found = sample()
    known, unknown = found.nearest_distance[found.scored], found.nearest_distance[~found.scored]
    named = open_set_metrics(found, 0.4)
    assert len(known) == 40
    assert named["Open-Set AUROC"] == pytest.approx(roc_auc_score(~found.scored, found.nearest_distance))
    accepting = next(one for one in sorted(known) if np.mean(known <= one) >= 0.95)
    assert named["Open-Set FPR at 95% TPR"] == np.mean(unknown <= accepting)
    assert named["Known Accept Rate"] == np.mean(known <= 0.4)
    assert named["Unknown Accept Rate"] == np.mean(unknown <= 0.4)
    right = found.per_query["precision_at_1"][found.scored] == 1
    assert named["Detection and Identification Rate"] == np.mean((known <= 0.4) & right)
    assert 0 < named["Known Accept Rate"] < 1


def test_ties_count_half_and_a_tied_unknown_is_accepted() -> None:
    assert auroc(np.array([1.0, 1.0]), np.array([1.0, 2.0])) == 0.75
    assert false_positive_rate(np.array([1.0] * 20), np.array([1.0, 1.5])) == 0.5
    assert false_positive_rate(np.arange(1.0, 21.0), np.array([19.0, 19.5])) == 0.5


def test_without_unknown_queries_only_known_rates_are_there() -> None:
    found = sample(unknown=False)
    assert open_set_metrics(found, None) == {}
    assert open_set_metrics(found, 4.0)["Known Accept Rate"] == 1
    assert "Open-Set AUROC" not in open_set_metrics(found, 4.0)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.3, 0.5])
def test_the_chosen_distance_keeps_the_rate_and_is_the_largest_that_does(rate: float) -> None:
    found = sample(unknown=False)
    rejection = choose_rejection(found, rate)
    assert rejection is not None
    foreign = found.foreign_distance
    assert np.mean(foreign <= rejection.distance) <= rate
    beyond = np.nextafter(np.float32(rejection.distance), np.float32(9))
    assert np.mean(foreign <= beyond) > rate
    assert rejection.known_accept_rate == np.mean(found.nearest_distance <= rejection.distance)
    assert rejection.num_queries == 60


def test_equal_distances_are_all_left_out() -> None:
    assert largest_distance(np.array([0.5, 0.5, 0.5, 0.5]), 0.5) < 0.5
    assert largest_distance(np.array([0.5, 0.5, 1.0, 1.0]), 0.5) == pytest.approx(1, abs=1e-6)
    assert largest_distance(np.arange(100.0), 0.07) == pytest.approx(7, abs=1e-5)
    assert largest_distance(np.array([0.5]), 1.0) == 4
    assert largest_distance(np.array([0.0, 0.0]), 0.0) == 0


def test_one_class_can_not_choose() -> None:
    found = retrieval_metrics(torch.eye(3), [0, 0, 0], torch.eye(3), [0, 0, 0])
    assert choose_rejection(found, 0.05) is None


def test_a_setting_wins_over_the_models_distance() -> None:
    document = Rejection(0.25, 0.05, 0.9, 100).document()
    recognition = {"class_names": ["a"], "rejection": document}
    stored = rejection_threshold(None, recognition)
    assert stored.document() == document | {"source": "model"}
    assert (stored.accepts(0.25), stored.accepts(0.26)) == (True, False)
    assert rejection_threshold(0.5, recognition).document() == {"distance": 0.5, "source": "setting"}


def test_without_a_distance_nothing_is_rejected_and_that_is_said() -> None:
    none = rejection_threshold(None, {})
    assert none.accepts(4.0)
    assert none.document() == {"distance": None, "source": "none"}
    assert "reject_distance" in none.warnings(["a"])[0]
    assert rejection_threshold(0.5, {}).warnings(["a"]) == []


def test_a_model_that_rejects_most_of_what_it_knows_is_warned_of() -> None:
    weak = {"rejection": Rejection(0.01, 0.05, 0.13, 480).document()}
    assert "only 13%" in rejection_threshold(None, weak).warnings(["a"])[0]
    assert rejection_threshold(0.5, weak).warnings(["a"]) == []
    assert rejection_threshold(None, {"rejection": Rejection(0.2, 0.05, 0.9, 480).document()}).warnings(["a"]) == []


def test_a_class_that_is_called_unknown_is_warned_of() -> None:
    assert "unknown" in rejection_threshold(0.5, {}).warnings(["a", "unknown"])[0]
