"""The losses against naive loops, and the class vectors that some of them learn."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from tao_skill.config.loss import LOSSES_WITH_WEIGHTS, Loss, SoftTriple, SubcenterArcFace
from tao_skill.config.train import Train
from tao_skill.metric_learning.training.losses import build_loss, class_vectors, start_class_vectors

LABELS = [0, 0, 1, 1, 2, 2]


def batch(seed: int = 0, count: int = 6) -> Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))


def value(name: str, vectors: Tensor, labels: list[int] = LABELS) -> float:
    loss = build_loss(Train(loss=Loss(name=name)), num_classes=3, embed_dim=4, seed=0)  # type: ignore[arg-type]
    return float(loss(vectors, torch.tensor(labels)))


def pairs(vectors: Tensor) -> tuple[list[list[float]], list[list[int]], list[list[int]]]:
    """Return cosine similarities, and for each image the others of its class and of other classes."""
    unit = normalize(vectors, dim=1)
    count = range(len(LABELS))
    same = [[j for j in count if j != i and LABELS[j] == LABELS[i]] for i in count]
    other = [[j for j in count if LABELS[j] != LABELS[i]] for i in count]
    return (unit @ unit.T).tolist(), same, other


def test_contrastive_is_the_mean_over_pairs_that_lose() -> None:
    vectors = batch()
    cosine, same, other = pairs(vectors)
    distance = [[math.sqrt(max(2 - 2 * c, 0)) for c in row] for row in cosine]
    positive = [distance[i][j] for i in range(6) for j in same[i] if distance[i][j] > 0]
    negative = [1 - distance[i][j] for i in range(6) for j in other[i] if distance[i][j] < 1]
    expected = sum(positive) / len(positive) + sum(negative) / len(negative)
    assert value("contrastive", vectors) == pytest.approx(expected, rel=1e-4)


def test_multi_similarity_is_that_of_its_paper() -> None:
    vectors = batch()
    cosine, same, other = pairs(vectors)
    total = 0.0
    for i in range(6):
        total += math.log1p(sum(math.exp(-2 * (cosine[i][j] - 0.5)) for j in same[i])) / 2
        total += math.log1p(sum(math.exp(50 * (cosine[i][j] - 0.5)) for j in other[i])) / 50
    assert value("multi_similarity", vectors) == pytest.approx(total / 6, rel=1e-4)


@pytest.mark.parametrize(("name", "temperature"), [("supcon", 0.1), ("ntxent", 0.07)])
def test_softmax_losses_are_those_of_their_papers(name: str, temperature: float) -> None:
    """With one positive for each image, SupCon and NT-Xent say the same."""
    vectors = batch()
    cosine, same, other = pairs(vectors)
    total = 0.0
    for i in range(6):
        (positive,) = same[i]
        terms = [math.exp(cosine[i][j] / temperature) for j in [positive, *other[i]]]
        total -= math.log(terms[0] / sum(terms))
    assert value(name, vectors) == pytest.approx(total / 6, rel=1e-4)


def test_circle_is_that_of_its_paper() -> None:
    vectors = batch()
    cosine, same, other = pairs(vectors)
    total = 0.0
    for i in range(6):
        near = sum(math.exp(-80 * max(1.4 - cosine[i][j], 0) * (cosine[i][j] - 0.6)) for j in same[i])
        far = sum(math.exp(80 * max(cosine[i][j] + 0.4, 0) * (cosine[i][j] - 0.4)) for j in other[i])
        total += math.log1p(near * far)
    assert value("circle", vectors) == pytest.approx(total / 6, rel=1e-4)


@pytest.mark.parametrize(("name", "several"), [("arcface", 1), ("subcenter_arcface", 3)])
def test_arcface_is_that_of_its_paper(name: str, several: int) -> None:
    loss = build_loss(Train(loss=Loss(name=name)), num_classes=3, embed_dim=4, seed=0)  # type: ignore[arg-type]
    vectors = batch()
    directions = normalize(class_vectors(loss), dim=-1)
    assert directions.shape == (3, several, 4)
    total = 0.0
    for unit, label in zip(normalize(vectors, dim=1), LABELS, strict=True):
        cosines = [max(float(unit @ centre) for centre in directions[c]) for c in range(3)]
        angle, margin = math.acos(cosines[label]), math.radians(28.6)
        # Beyond 180 degrees the cosine would rise again: the usual straight line goes on falling.
        beyond = angle + margin > math.pi
        cosines[label] = cosines[label] - margin * math.sin(margin) if beyond else math.cos(angle + margin)
        logits = torch.tensor([64 * c for c in cosines])
        total -= float(torch.log_softmax(logits, 0)[label])
    assert float(loss(vectors, torch.tensor(LABELS)).detach()) == pytest.approx(total / 6, rel=1e-4)


def test_proxy_anchor_is_that_of_its_paper() -> None:
    loss = build_loss(Train(loss=Loss(name="proxy_anchor")), num_classes=4, embed_dim=4, seed=0)
    vectors = batch()
    proxies = normalize(class_vectors(loss)[:, 0], dim=1)
    cosine = (normalize(vectors, dim=1) @ proxies.T).tolist()
    near, far = 0.0, 0.0
    for proxy in range(4):
        own = [i for i in range(6) if LABELS[i] == proxy]
        strange = [i for i in range(6) if LABELS[i] != proxy]
        near += math.log1p(sum(math.exp(-32 * (cosine[i][proxy] - 0.1)) for i in own)) / 3
        far += math.log1p(sum(math.exp(32 * (cosine[i][proxy] + 0.1)) for i in strange)) / 4
    assert float(loss(vectors, torch.tensor(LABELS)).detach()) == pytest.approx(near + far, rel=1e-4)


def test_soft_triple_is_that_of_its_paper() -> None:
    settings = Loss(name="soft_triple", soft_triple=SoftTriple(centers_per_class=2))
    loss = build_loss(Train(loss=settings), num_classes=3, embed_dim=4, seed=0)
    vectors = batch()
    centres = normalize(class_vectors(loss), dim=-1)
    total = 0.0
    for unit, label in zip(normalize(vectors, dim=1), LABELS, strict=True):
        logits = []
        for c in range(3):
            cosines = centres[c] @ unit
            similarity = float((torch.softmax(cosines / 0.1, 0) * cosines).sum())
            logits.append(20 * (similarity - (0.01 if c == label else 0.0)))
        total -= float(torch.log_softmax(torch.tensor(logits), 0)[label])
    assert float(loss(vectors, torch.tensor(LABELS)).detach()) == pytest.approx(total / 6, rel=1e-4)


@pytest.mark.parametrize("name", LOSSES_WITH_WEIGHTS)
def test_class_vectors_start_with_length_one_from_the_seed(name: str) -> None:
    def vectors(seed: int) -> Tensor:
        settings = Train(loss=Loss(name=name))  # type: ignore[arg-type]
        return class_vectors(build_loss(settings, num_classes=3, embed_dim=4, seed=seed))

    assert torch.equal(vectors(1), vectors(1))
    assert not torch.equal(vectors(1), vectors(2))
    assert torch.allclose(vectors(1).norm(dim=-1), torch.ones(()))


def test_class_vectors_start_where_their_classes_are() -> None:
    settings = Loss(name="subcenter_arcface", subcenter_arcface=SubcenterArcFace(sub_centers=2))
    loss = build_loss(Train(loss=settings), num_classes=3, embed_dim=8, seed=0)
    before = class_vectors(loss).clone()
    embeddings = torch.randn(5, 8, generator=torch.Generator().manual_seed(3))
    start_class_vectors(loss, embeddings, torch.tensor([0, 0, 2, 2, 2]))
    after = class_vectors(loss)
    assert torch.equal(after[1], before[1])  # no image of it
    mean = normalize(normalize(embeddings[2:], dim=1).mean(dim=0), dim=0)
    assert float((after[2] @ mean).min()) > 0.7
    assert not torch.allclose(after[2, 0], after[2, 1])
