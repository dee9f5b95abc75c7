"""What the skill's text promises of defaults and launch, held against the files that are shipped."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tao_skill.bank.skill import find_skill
from tao_skill.config.keys import flatten
from tao_skill.run.dispatch import trainer_command

SKILL = find_skill(None)


@pytest.mark.parametrize(
    ("key", "default"),
    [
        ("model.backbone", "resnet_50"),  # R38
        ("model.feat_dim", 256),  # R39
        ("train.batch_size", 4),  # R40
        ("train.val_batch_size", 4),  # R40
        ("dataset.num_instance", 4),  # R42
        ("train.optim.name", "Adam"),  # R44
        ("train.optim.trunk.base_lr", 3.5e-4),  # R44
        ("train.optim.embedder.base_lr", 3.5e-4),  # R45
        ("train.optim.triplet_loss_margin", 0.3),  # R46
        ("train.smooth_loss", True),  # R46
        ("train.optim.miner_function_margin", 0.1),  # R47
        ("train.optim.steps", [40, 70]),  # R48
        ("train.optim.gamma", 0.1),  # R48
        ("train.num_gpus", 1),  # R51
        ("train.gpu_ids", [0]),  # R52
        ("train.num_nodes", 1),  # R54
    ],
)
def test_defaults_of_the_text(key: str, default: Any) -> None:
    assert flatten(SKILL.template("train"))[key] == default


def test_validation_sets_are_a_dictionary() -> None:  # R49
    properties = SKILL.schema("train")["properties"]["dataset"]["properties"]["val_dataset"]["properties"]
    assert {"reference", "query"} <= set(properties)


def test_one_python_process_is_launched() -> None:  # R50
    command = trainer_command("train", Path("/job/train/spec.yaml"))
    assert command[:3] == [sys.executable, "-m", "tao_skill.cli.ml_recog"]
    assert not any("torchrun" in word or "nproc" in word for word in command)


def test_no_strategy_need_be_configured() -> None:  # R53 R54
    assert not [key for key in flatten(SKILL.template("train")) if "strategy" in key]
    assert "The strategy is `auto`" in " ".join((SKILL.directory / "SKILL.md").read_text(encoding="utf-8").split())


def test_an_agent_reads_the_facts_before_it_trains() -> None:  # R14 R16 R17
    text = (SKILL.directory / "SKILL.md").read_text(encoding="utf-8")
    section = text.partition("## Train action policy\n")[2].partition("\n## ")[0].strip()
    assert section.startswith("Read `references/skill_info.yaml` before any request that trains")
    for phrase in ("turn off AutoML", "disable AutoML", "no HPO", "plain training"):
        assert phrase in section
