"""AMI and NMI: against scikit-learn's for given clusters, and of the clustering itself."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score

from tao_skill.errors import UsageError
from tao_skill.metric_learning.retrieval.clusters import cluster_metrics, k_means


def blobs(classes: int, images: int, spread: float, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % classes
    points = torch.randn(classes, 32, generator=generator)[labels]
    points = points + spread * torch.randn(images, 32, generator=generator)
    return torch.nn.functional.normalize(points, dim=1), labels.numpy()


@pytest.mark.parametrize(("classes", "clusters"), [(2, 2), (5, 3), (3, 17), (40, 60), (1, 4), (4, 1), (200, 2)])
def test_equals_scikit_learn_for_given_clusters(classes: int, clusters: int) -> None:
    rng = np.random.default_rng(classes)
    embeddings = torch.ones(200, 2)
    labels, given = rng.integers(0, classes, 200), rng.integers(0, clusters, 200)
    found = cluster_metrics(embeddings, labels, cluster_labels=given)
    assert found["AMI"] == pytest.approx(adjusted_mutual_info_score(labels, given), abs=1e-9)
    assert found["NMI"] == pytest.approx(normalized_mutual_info_score(labels, given), abs=1e-9)


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2], [0] * 6, [0, 1, 2, 3, 4, 5]])
def test_equal_partitions_score_1(labels: list[int]) -> None:
    found = cluster_metrics(torch.ones(6, 2), labels, cluster_labels=[9 - label for label in labels])
    assert found == {"AMI": 1, "NMI": 1}


def test_finds_six_points_in_three_clusters() -> None:
    points = torch.tensor([[1, 0.1], [-1, 0.1], [0.1, 1], [1, -0.1], [-1, -0.1], [-0.1, 1]])
    assert cluster_metrics(points, [0, 1, 2, 0, 1, 2], seed=3) == {"AMI": 1, "NMI": 1}


def test_far_classes_are_found_and_noise_is_not() -> None:
    assert cluster_metrics(*blobs(20, 400, 0.2))["AMI"] > 0.95
    points, labels = blobs(20, 400, 50)
    assert abs(cluster_metrics(points, labels)["AMI"]) < 0.05


def test_a_seed_decides_the_clustering() -> None:
    points, labels = blobs(30, 600, 1.5)
    assert cluster_metrics(points, labels, 7) == cluster_metrics(points, labels, 7)
    assert (k_means(points, 30, 7) != k_means(points, 30, 8)).any()


def test_each_round_brings_points_nearer_to_their_centres(monkeypatch: pytest.MonkeyPatch) -> None:
    points, _ = blobs(12, 300, 1.0)

    def spread(rounds: int) -> float:
        monkeypatch.setattr("tao_skill.metric_learning.retrieval.clusters.MAX_ITERATIONS", rounds)
        clusters = torch.from_numpy(k_means(points, 12, 0))
        parts = [points[clusters == one] for one in clusters.unique()]
        return sum(float((part - part.mean(0)).square().sum()) for part in parts)

    assert spread(20) < spread(2) < spread(1)


# All embeddings alike: the commonest failure of training must give a number, not an error or NaN.
@pytest.mark.parametrize("value", [1.0, 0.0])
def test_collapsed_embeddings_score_0(value: float) -> None:
    assert cluster_metrics(torch.full((12, 4), value), np.arange(12) % 3) == {"AMI": 0, "NMI": 0}


def test_one_class_is_one_cluster() -> None:
    assert cluster_metrics(blobs(1, 5, 1.0)[0], [4] * 5) == {"AMI": 1, "NMI": 1}


def test_as_many_classes_as_images() -> None:
    assert cluster_metrics(blobs(30, 30, 1.0)[0], np.arange(30)) == {"AMI": 1, "NMI": 1}


def test_bad_input_is_refused() -> None:
    with pytest.raises(UsageError, match="rows 1"):
        cluster_metrics(torch.tensor([[1.0, 0], [torch.nan, 0]]), [0, 1])
    with pytest.raises(UsageError, match="no embeddings"):
        cluster_metrics(torch.zeros(0, 2), [])
    with pytest.raises(UsageError, match="cluster labels"):
        cluster_metrics(torch.ones(3, 2), [0, 1, 2], cluster_labels=[0])
