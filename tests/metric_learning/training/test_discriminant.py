"""The computed start of the embedder."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from tao_skill.metric_learning.training.discriminant import discriminant_projection


def task(classes: int, images: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return features of which six directions tell classes apart, while two louder ones vary within them."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat_interleave(images)
    centres = torch.zeros(classes, 8)
    centres[:, :6] = torch.randn(classes, 6, generator=generator)
    noise = torch.randn(len(labels), 8, generator=generator) * torch.tensor([0.3] * 6 + [4.0] * 2)
    return centres[labels] + noise, labels


def precision(embeddings: Tensor, labels: Tensor) -> float:
    """Return how often the nearest other image is of the same class."""
    unit = normalize(embeddings, dim=1)
    similar = (unit @ unit.T).fill_diagonal_(-2)
    return float((labels[similar.argmax(dim=1)] == labels).float().mean())


def test_projection_ignores_what_varies_within_classes_also_for_unknown_ones() -> None:
    weight, bias = discriminant_projection(*task(12, 10), embed_dim=6)
    unknown, labels = task(12, 10, seed=5)
    assert precision(unknown @ weight.T + bias, labels) > precision(unknown, labels) + 0.15


def test_mean_is_taken_away_and_rows_have_unit_length_on_average() -> None:
    features, labels = task(6, 5)
    weight, bias = discriminant_projection(features, labels, embed_dim=4)
    assert torch.allclose((features @ weight.T + bias).mean(dim=0), torch.zeros(4), atol=1e-4)
    assert float(weight.norm(dim=1).mean()) == pytest.approx(1, rel=1e-5)


def test_scatter_within_classes_becomes_even() -> None:
    features, labels = task(20, 50)
    weight, _ = discriminant_projection(features, labels, embed_dim=8)
    means = torch.stack([features[labels == label].mean(dim=0) for label in labels.unique()])
    within = (features - means[labels]) @ weight.T
    spread = within.std(dim=0)
    before = (features - means[labels]).std(dim=0)
    assert spread.max() / spread.min() < before.max() / before.min() / 2


def test_more_dimensions_than_features_leaves_rows_empty() -> None:
    weight, bias = discriminant_projection(*task(6, 5), embed_dim=10)
    assert weight.shape == (10, 8)
    assert torch.equal(weight[8:], torch.zeros(2, 8))
    assert torch.equal(bias[8:], torch.zeros(2))


@pytest.mark.parametrize(("classes", "images"), [(5, 1), (1, 5), (2, 2)])
def test_few_images_give_finite_weights(classes: int, images: int) -> None:
    weight, bias = discriminant_projection(*task(classes, images), embed_dim=4)
    assert torch.isfinite(weight).all()
    assert torch.isfinite(bias).all()


def test_equal_features_give_finite_weights() -> None:
    weight, bias = discriminant_projection(torch.ones(6, 8), torch.arange(6), embed_dim=4)
    assert torch.isfinite(weight).all()
    assert torch.isfinite(bias).all()


def test_result_repeats() -> None:
    first, second = (discriminant_projection(*task(6, 5), embed_dim=4) for _ in range(2))
    assert torch.equal(first[0], second[0])
