"""Trainings that diverge are told of, and leave what is sound."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tao_skill.config.keys import nest
from tao_skill.errors import CheckpointError, JobError
from tao_skill.metric_learning.actions import run_action
from tao_skill.metric_learning.training.module import TrainingModule


def train(spec: dict[str, Any], folder: Path, **changes: Any) -> dict[str, Any]:
    flat = spec | {key.replace("__", "."): value for key, value in changes.items()}
    return run_action("train", nest(flat), results_dir=folder)


def weights(path: str | Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def test_diverged_training_is_told_before_anything_is_written(spec: dict[str, Any], tmp_path: Path) -> None:
    sound = train(spec, tmp_path / "sound", train__num_epochs=1)
    state = weights(sound["checkpoint"])
    # Finite weights whose embeddings overflow, as at the end of a training whose rate was too high.
    huge = {name: value * 3e38 if name.endswith("last_linear.weight") else value for name, value in state.items()}
    huge["recogniser.embedder.net.0.weight"] = huge["recogniser.embedder.last_linear.weight"].clamp(-3e38, 3e38)
    huge["recogniser.embedder.last_linear.weight"] = huge["recogniser.embedder.net.0.weight"]
    torch.save(huge, tmp_path / "huge.pth")
    with pytest.raises(JobError, match="diverged") as raised:
        train(spec, tmp_path / "run", model__pretrained_model_path=str(tmp_path / "huge.pth"))
    assert "train.optim.trunk.base_lr" in {problem.key for problem in raised.value.problems}
    assert not list((tmp_path / "run" / "train").glob("model_epoch_*.pth"))


def test_weights_that_an_update_broke_replace_no_sound_file(
    spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = TrainingModule._update

    def overflow(module: TrainingModule) -> None:
        update(module)
        if module.epoch == 1 and module.epoch_step == module.trainer.num_training_batches:
            next(module.recogniser.parameters()).data.fill_(math.nan)

    monkeypatch.setattr(TrainingModule, "_update", overflow)
    changes = {"train__validation_interval": 3, "train__checkpointer__replace_periodic": True}
    with pytest.raises(JobError, match="its weights are not finite in epoch 1"):
        train(spec, tmp_path, train__num_epochs=3, train__checkpoint_interval=1, **changes)
    (kept,) = (tmp_path / "train").glob("model_epoch_*.pth")
    assert all(bool(torch.isfinite(value).all()) for value in weights(kept).values())


def test_weights_that_are_not_finite_are_refused(spec: dict[str, Any], tmp_path: Path) -> None:
    state = weights(train(spec, tmp_path / "sound", train__num_epochs=1)["checkpoint"])
    state["recogniser.embedder.net.0.bias"].fill_(math.nan)
    torch.save(state, tmp_path / "broken.pth")
    with pytest.raises(CheckpointError, match="not finite"):
        train(spec, tmp_path / "run", model__pretrained_model_path=str(tmp_path / "broken.pth"))
