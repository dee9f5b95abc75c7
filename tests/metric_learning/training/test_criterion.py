"""The loss, and the memory of earlier batches."""

import math
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.profiler import ProfilerActivity, profile

from tao_skill.config.loss import Loss, Miner
from tao_skill.config.optim import Optim
from tao_skill.config.train import Train
from tao_skill.metric_learning.training.criterion import Criterion, build_criterion, memory_size


def criterion(memory: int = 0, smooth: bool = True, miner_margin: float = 2.0) -> Criterion:
    train = Train(
        smooth_loss=smooth,
        cross_batch_memory_size=memory,
        optim=Optim(triplet_loss_margin=0.3, miner_function_margin=miner_margin),
    )
    return build_criterion(train, num_instance=2, num_images=100, num_classes=9, embed_dim=4, seed=0)


def embeddings(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))


def naive_loss(vectors: Tensor, labels: list[int], smooth: bool) -> float:
    """Return the mean over all triplets that lose anything; the miner keeps every pair at this margin."""
    unit = normalize(vectors, dim=1)
    losses = []
    for a, own in enumerate(labels):
        for p, same in enumerate(labels):
            for n, other in enumerate(labels):
                if a != p and own == same and own != other:
                    gap = float((unit[a] - unit[p]).norm() - (unit[a] - unit[n]).norm()) + 0.3
                    losses.append(math.log1p(math.exp(gap)) if smooth else max(gap, 0.0))
    positive = [loss for loss in losses if loss > 0]
    return sum(positive) / len(positive) if positive else 0.0


@pytest.mark.parametrize("smooth", [True, False])
def test_loss_is_the_triplet_loss_of_mined_pairs(smooth: bool) -> None:  # R46 R47
    labels = [0, 0, 1, 1, 2, 2]
    vectors = embeddings(6)
    value = criterion(smooth=smooth)(vectors, torch.tensor(labels))
    assert float(value) == pytest.approx(naive_loss(vectors, labels, smooth), rel=1e-5)


def test_collapsed_embeddings_have_the_known_loss() -> None:
    value = criterion()(torch.ones(4, 4), torch.tensor([0, 0, 1, 1]))
    assert float(value) == pytest.approx(math.log1p(math.exp(0.3)), rel=1e-5)


def test_one_class_alone_teaches_nothing_but_the_memory_gives_negatives() -> None:
    labels = torch.zeros(4, dtype=torch.long)
    assert float(criterion()(embeddings(4), labels)) == 0.0
    remembering = criterion(memory=8)
    remembering.start_from(embeddings(4, seed=1), torch.ones(4, dtype=torch.long))
    vectors = embeddings(4).requires_grad_()
    loss = remembering(vectors, labels)
    loss.backward()
    assert float(loss.detach()) > 0.1
    assert vectors.grad is not None
    assert float(vectors.grad.abs().sum()) > 0


@pytest.mark.parametrize("memory", [0, 600])
def test_the_loss_of_a_large_batch_takes_memory_as_its_triplets_do(memory: int) -> None:
    """The library would hold 1,200 positive pairs against 358,800 negative ones: 430 MB."""
    count = 600
    labels, vectors = torch.arange(count // 3).repeat_interleave(3), embeddings(count)
    whole = criterion(memory)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        value = float(whole(vectors, labels))
    assert max(event.self_cpu_memory_usage for event in watched.events()) < 50e6
    assert value == pytest.approx(float(whole.loss(vectors, labels)), rel=1e-5)


def test_memory_survives_saving_and_loading() -> None:
    first, second = criterion(memory=6), criterion(memory=6)
    for seed in range(3):
        first(embeddings(4, seed), torch.tensor([0, 0, 1, 1]))
    second.load_state_dict(first.state_dict())
    batch, labels = embeddings(4, seed=9), torch.tensor([0, 1, 1, 2])
    assert torch.equal(first(batch, labels), second(batch, labels))
    assert first.memory is not None
    assert second.memory is not None
    assert torch.equal(first.memory.embedding_memory, second.memory.embedding_memory)
    assert first.get_extra_state() == second.get_extra_state()


@pytest.mark.parametrize(
    ("requested", "batch", "instances", "images", "expected"),
    [
        (-1, 4, 4, 5000, 1028),
        (-1, 4, 4, 320, 324),
        (-1, 8, 4, 5000, 0),
        (-1, 8, 1, 5000, 1032),
        (-1, 1024, 1, 5000, 2048),
        (-1, 2000, 1, 5000, 3024),
        (0, 8, 4, 5000, 0),
        (64, 8, 4, 5000, 72),
        (2, 8, 4, 5000, 10),
    ],
)
def test_memory_is_as_large_as_asked_or_needed(
    requested: int, batch: int, instances: int, images: int, expected: int
) -> None:
    assert memory_size(requested, batch, instances, images) == expected


def test_an_image_in_the_memory_is_not_its_own_positive() -> None:
    """Neither for the loss, nor where the miner asks whether the classes are apart, nor in a batch of one image."""
    train = Train(batch_size=4, cross_batch_memory_size=8, optim=Optim(triplet_loss_margin=0.3))
    built = build_criterion(train, num_instance=4, num_images=100, num_classes=9, embed_dim=4, seed=0)
    built.start_from(torch.tensor([[0.0, 0, 0, 1]] * 4), torch.ones(4, dtype=torch.long))
    angle = torch.tensor([0.0, 0.9, 1.8, 2.7])
    batch = torch.stack([angle.cos(), angle.sin(), torch.zeros(4), torch.zeros(4)], dim=1)
    unit = [(batch[i] - batch[j]).norm() for i in range(4) for j in range(4) if i != j]
    gap = math.sqrt(2) - float(sum(unit)) / len(unit)  # with each image as its own positive it would be 0.45
    assert gap < 0.3 < math.sqrt(2) - float(sum(unit)) / 16
    assert built.memory is not None
    built(batch, torch.zeros(4, dtype=torch.long))
    taken = built.memory.create_indices_tuple(
        batch, torch.zeros(4, dtype=torch.long), built.memory.embedding_memory[:8], built.memory.label_memory[:8]
    )
    assert len(taken[0]) == 4 * 3 * 4  # all triplets: classes aren't apart yet
    alone = criterion(memory=8)
    alone.start_from(torch.tensor([[0.0, 1, 0, 0], [0, 0, 1, 0]]), torch.tensor([0, 1]))
    assert float(alone(torch.tensor([[1.0, 0, 0, 0]]), torch.tensor([0]))) == pytest.approx(math.log1p(math.exp(0.3)))


def test_easy_batch_still_teaches() -> None:
    far = torch.tensor([[1.0, 0, 0, 0], [1, 0.01, 0, 0], [-1, 0, 0, 0], [-1, 0.01, 0, 0]])
    labels = [0, 0, 1, 1]
    easy = criterion(miner_margin=0.1)
    assert float(easy(far, torch.tensor(labels))) == pytest.approx(naive_loss(far, labels, smooth=True), rel=1e-4)
    assert float(criterion(miner_margin=0.1, smooth=False)(far, torch.tensor(labels))) == 0.0


def test_easy_batch_still_teaches_with_the_memory() -> None:
    easy = criterion(memory=8, miner_margin=0.1)
    easy.start_from(torch.tensor([[-1.0, 0, 0, 0]] * 4), torch.ones(4, dtype=torch.long))
    near = torch.tensor([[1.0, 0, 0, 0], [1, 0.01, 0, 0]])
    assert 0 < float(easy(near, torch.zeros(2, dtype=torch.long))) < 0.3


@pytest.mark.parametrize("memory", [0, 12])
@pytest.mark.parametrize("miner", get_args(Miner.__annotations__["name"].__args__[0]))
@pytest.mark.parametrize("loss", get_args(Loss.__annotations__["name"].__args__[0]))
def test_every_loss_goes_with_every_miner_and_memory(loss: str, miner: str, memory: int) -> None:
    for kind in ("hard", "semihard", "all") if miner == "triplet_margin" else ("all",):
        train = Train(
            batch_size=6,
            cross_batch_memory_size=memory,
            loss=Loss(name=loss),  # type: ignore[arg-type]
            miner=Miner(name=miner, triplet_kind=kind),  # type: ignore[arg-type]
        )
        built = build_criterion(train, num_instance=2, num_images=24, num_classes=6, embed_dim=4, seed=0)
        vectors = embeddings(6).requires_grad_()
        optimizer = torch.optim.SGD([vectors, *built.loss.parameters()], lr=1e-3)
        for labels in ([0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5]):
            before = vectors.detach().clone()
            value = built(vectors, torch.tensor(labels))
            value.backward()
            optimizer.step()
            optimizer.zero_grad()
            assert 0 < value.detach().item() < math.inf
            assert vectors.isfinite().all()
            assert not torch.equal(vectors.detach(), before)
