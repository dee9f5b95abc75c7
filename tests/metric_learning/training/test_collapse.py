"""Collapse: embeddings that are all alike."""

import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tao_skill.config.keys import nest
from tao_skill.config.optim import Optim
from tao_skill.config.train import Train
from tao_skill.config.typed import typed_spec
from tao_skill.metric_learning.actions import run_action
from tao_skill.metric_learning.training.collapse import CollapseWatch, EpochSums
from tao_skill.metric_learning.training.criterion import build_criterion


def sums(*batches: torch.Tensor) -> EpochSums:
    found = EpochSums()
    for batch in batches:
        found.add(torch.tensor(0.5), batch)
    return found


def watch(warmup: int = 3) -> CollapseWatch:
    return CollapseWatch(typed_spec("train", {"train": {"optim": {"warmup_iters": warmup}}}))


def test_spread_is_zero_for_alike_and_one_for_opposite_embeddings() -> None:
    assert sums(torch.tensor([[2.0, 0], [1, 0]])).spread == pytest.approx(0, abs=1e-9)
    assert sums(torch.tensor([[1.0, 0], [-3, 0]])).spread == pytest.approx(1)
    assert sums(torch.eye(4)).spread == pytest.approx(0.75)


def test_spread_is_that_of_the_epoch_however_it_is_cut_into_batches() -> None:
    vectors = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    assert sums(vectors[:2], vectors[2:]).spread == pytest.approx(sums(vectors).spread)
    # Batches of one class each are no collapse.
    assert sums(torch.tensor([[1.0, 0]]), torch.tensor([[0, 1.0]])).spread == pytest.approx(0.5)


def test_loss_of_alike_embeddings_is_known() -> None:
    train = Train(optim=Optim(triplet_loss_margin=0.3))
    criterion = build_criterion(train, num_instance=2, num_images=9, num_classes=9, embed_dim=4, seed=0)
    alike = criterion.loss_if_alike(torch.ones(4), classes=3, instances=2)
    assert alike == pytest.approx(math.log1p(math.exp(0.3)), rel=1e-5)


def test_a_fall_is_collapse_at_any_time() -> None:
    watched = watch(warmup=10)
    assert not watched.judge(0, spread=0.8, loss=0.8, loss_if_alike=0.85)
    assert not watched.judge(1, spread=0.2, loss=0.84, loss_if_alike=0.85)
    assert watched.judge(2, spread=0.02, loss=0.84, loss_if_alike=0.85)
    assert "epoch 2" in watched.warning
    for remedy in ("warmup_iters", "base_lr", "miner.name=none", "loss.name=supcon", "pretrained"):
        assert remedy in watched.warning
    first = watched.warning
    assert watched.judge(3, spread=0.01, loss=0.84, loss_if_alike=0.85)
    assert watched.warning == first


def test_embeddings_need_not_be_quite_alike() -> None:
    """A pretrained network that collapsed was seen to stay at a spread of 0.055, with one recognised query of 60."""
    watched = watch(warmup=1)
    assert not watched.judge(0, spread=0.37, loss=0.86, loss_if_alike=0.8543)
    assert watched.judge(1, spread=0.055, loss=0.855, loss_if_alike=0.8543)


def test_an_untrained_network_is_given_its_warm_up() -> None:
    watched = watch(warmup=3)
    assert [watched.judge(epoch, 0.01, 0.85, 0.85) for epoch in range(3)] == [False, False, True]


def test_a_low_loss_is_no_collapse() -> None:
    assert not watch(warmup=1).judge(5, spread=0.02, loss=0.4, loss_if_alike=0.85)


def test_what_was_said_survives_a_resume() -> None:
    first, second = watch(1), watch(1)
    first.judge(0, 0.9, 0.8, 0.85)
    first.judge(1, 0.01, 0.85, 0.85)
    second.resume(first.state())
    assert (second.warning, second.widest) == (first.warning, 0.9)


def test_collapse_by_hard_mining_is_told_once(
    spec: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Classes of pure noise can't be learned: the hardest pairs drive all embeddings together."""
    for label in range(6):
        (tmp_path / "noise" / str(label)).mkdir(parents=True)
        for number in range(4):
            pixels = np.random.default_rng([label, number]).integers(0, 255, size=(24, 24, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "noise" / str(label) / f"{number}.png")
    rates = {f"train.optim.{part}.base_lr": 1e-2 for part in ("trunk", "embedder")}
    harsh = {
        "dataset.train_dataset": str(tmp_path / "noise"),
        "train.num_epochs": 6,
        "train.batch_size": 12,
        "train.embedder_start": "random",
        "train.miner.name": "batch_hard",
        "train.optim.warmup_factor": 1.0,
        "train.optim.warmup_iters": 1,
    }
    with caplog.at_level(logging.WARNING):
        result = run_action("train", nest(spec | rates | harsh), results_dir=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "train" / "status.json").read_text().splitlines()]
    epochs = [line for line in lines if "epoch" in line]
    assert epochs[0]["kpi"]["embedding_spread"] > 0.2
    assert epochs[-1]["kpi"]["embedding_spread"] < 0.05
    assert "collapsed" not in epochs[0]["message"]
    assert "collapsed" in epochs[-1]["message"]
    told = [line["message"] for line in lines if line["message"].startswith("Collapse in epoch")]
    assert len(told) == 1
    assert [record.message for record in caplog.records].count(told[0]) == 1
    assert told[0] in result["warnings"]
