"""Which pairs and triplets the miners keep."""

import pytest
import torch
from pytorch_metric_learning.utils.loss_and_miner_utils import convert_to_triplets, get_all_pairs_indices
from torch import Tensor
from torch.nn.functional import normalize

from tao_skill.config.loss import Loss, Miner
from tao_skill.config.train import Train
from tao_skill.metric_learning.training.miners import as_triplets, build_miner, mean_gap

LABELS = [0, 0, 0, 1, 1, 1]


def mined(vectors: Tensor, **settings: object) -> list[tuple[int, ...]]:
    miner = build_miner(Train(miner=Miner(**settings)))  # type: ignore[arg-type]
    assert miner is not None
    return list(zip(*(part.tolist() for part in miner(vectors, torch.tensor(LABELS))), strict=False))


def distances(vectors: Tensor) -> list[list[float]]:
    unit = normalize(vectors, dim=1)
    rows: list[list[float]] = torch.cdist(unit, unit).tolist()
    return rows


@pytest.mark.parametrize("kind", ["hard", "semihard", "all"])
def test_triplets_of_the_kind_are_kept(kind: str) -> None:
    vectors = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    far = distances(vectors)
    expected = []
    for a in range(6):
        for p in range(6):
            for n in range(6):
                gap = far[a][n] - far[a][p]
                kept = {"hard": gap <= 0, "semihard": 0 < gap <= 0.2, "all": gap <= 0.2}[kind]
                if a != p and LABELS[a] == LABELS[p] != LABELS[n] and kept:
                    expected.append((a, p, n))
    assert expected
    assert sorted(mined(vectors, name="triplet_margin", triplet_kind=kind)) == expected


def test_batch_hard_takes_the_hardest_of_each_anchor() -> None:
    vectors = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    far = distances(vectors)
    expected = []
    for a in range(6):
        positives = [p for p in range(6) if p != a and LABELS[p] == LABELS[a]]
        negatives = [n for n in range(6) if LABELS[n] != LABELS[a]]
        expected.append((a, max(positives, key=far[a].__getitem__), min(negatives, key=far[a].__getitem__)))
    assert mined(vectors, name="batch_hard") == expected


@pytest.mark.parametrize("kept", [1.0, 0.4, 0.05, 0.0])
def test_pairs_are_joined_to_the_triplets_that_the_library_finds(kept: float) -> None:
    random = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 5, (40,), generator=random)
    pairs = get_all_pairs_indices(labels)
    some = [torch.rand(len(part), generator=random) < kept for part in (pairs[0], pairs[2])]
    mined = (*(part[some[0]] for part in pairs[:2]), *(part[some[1]] for part in pairs[2:]))
    for mine, theirs in zip(as_triplets(mined), convert_to_triplets(mined, labels), strict=True):
        assert torch.equal(mine, theirs)


def test_no_miner_means_all_pairs() -> None:
    assert build_miner(Train(miner=Miner(name="none"))) is None


@pytest.mark.parametrize("name", ["multi_similarity", "triplet_margin"])
def test_where_nothing_is_hard_all_pairs_are_kept(name: str) -> None:
    easy = torch.tensor([[1.0, 0], [1, 0.01], [1, 0.02], [-1, 0], [-1, 0.01], [-1, 0.02]])
    miner = build_miner(Train(miner=Miner(name=name)))  # type: ignore[arg-type]
    assert miner is not None
    anchors, _, with_negative, _ = miner(easy, torch.tensor(LABELS))
    assert len(anchors) == 6 * 2
    assert len(with_negative) == 6 * 3


@pytest.mark.parametrize(("apart", "waits"), [(0.2, True), (1.0, False)])
def test_hard_pairs_wait_until_the_average_triplet_keeps_the_margin(apart: float, waits: bool) -> None:
    angles = torch.tensor([-0.05, 0.0, 0.05, 0.2, apart, 1.05 * apart])  # the fourth is hard
    vectors = torch.stack([angles.cos(), angles.sin()], dim=1)
    far = distances(vectors)
    positives = [far[a][b] for a in range(6) for b in range(6) if a != b and LABELS[a] == LABELS[b]]
    negatives = [far[a][b] for a in range(6) for b in range(6) if LABELS[a] != LABELS[b]]
    gap = sum(negatives) / len(negatives) - sum(positives) / len(positives)
    assert (gap < Train().optim.triplet_loss_margin) == waits
    assert mean_gap(vectors, None, get_all_pairs_indices(torch.tensor(LABELS))) == pytest.approx(gap, abs=1e-5)
    assert (mined_by(Train(), vectors) == 18) == waits


def test_other_losses_mine_from_the_start() -> None:
    angles = torch.tensor([0.0, 1.0, 2.0, 0.5, 1.5, 2.5])  # neighbours are of the other class
    mixed = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert mined_by(Train(loss=Loss(name="multi_similarity")), mixed) < mined_by(Train(), mixed) == 18


def mined_by(train: Train, vectors: Tensor) -> int:
    """Return how many negative pairs are mined."""
    miner = build_miner(train)
    assert miner is not None
    return len(miner(vectors, torch.tensor(LABELS))[2])
