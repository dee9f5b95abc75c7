"""The spec from its layers."""

from collections.abc import Mapping
from typing import Any

import pytest

from tao_skill.config.schema import json_schema, template
from tao_skill.errors import Problem, SpecError
from tao_skill.run.spec import Assembled, Layer, assemble

DATA = Layer(
    {"dataset.train_dataset": "/t", "dataset.val_dataset.reference": "/r", "dataset.val_dataset.query": "/q"},
    "data source",
)


def train(overrides: Mapping[str, Any], **options: Any) -> Assembled:
    layers = [DATA, Layer(overrides, dict.fromkeys(overrides, "override"))]
    return assemble("train", template("train"), layers, schema=json_schema("train"), **options)


def test_later_layers_win_and_every_leaf_has_a_source() -> None:
    made = train({"train.num_epochs": 3, "dataset.train_dataset": "/mine"})
    assert made.spec["train"]["num_epochs"] == 3
    assert made.spec["dataset"]["train_dataset"] == "/mine"
    assert made.provenance["train.num_epochs"] == "override"
    assert made.provenance["dataset.train_dataset"] == "override"
    assert made.provenance["dataset.val_dataset.query"] == "data source"
    assert made.provenance["model.backbone"] == "template"
    assert made.spec["model"] == template("train")["model"]


def test_followers_are_marked() -> None:
    made = train({"train.num_gpus": 2})
    assert made.spec["train"]["gpu_ids"] == [0, 1]
    assert made.provenance["train.gpu_ids"] == "derived"


def test_all_problems_at_once_each_key_once() -> None:
    known = [Problem("dataset.train_dataset", None, "known before")]
    with pytest.raises(SpecError) as caught:
        train({"train.batch_size": 0, "train.num_epoch": 3, "dataset.train_dataset": ""}, known_problems=known)
    keys = [problem.key for problem in caught.value.problems]
    assert sorted(keys) == ["dataset.train_dataset", "train.batch_size", "train.num_epoch"]
    assert "train.num_epochs" in str(caught.value)


def test_a_value_for_a_section_and_a_section_for_a_value() -> None:
    with pytest.raises(SpecError) as caught:
        train({"dataset.val_dataset": "/x", "train.num_epochs.deep": 1, "train.seed": -5})
    said = {problem.key: problem.expected for problem in caught.value.problems}
    assert "reference, query" in said["dataset.val_dataset"]
    assert "train.num_epochs is a value" in said["train.num_epochs.deep"]
    assert "train.seed" in said


def test_keys_of_other_actions_are_warned_of_and_left_aside() -> None:
    made = train({"evaluate.topk": 5})
    assert "evaluate" not in made.spec
    assert any("evaluate.topk" in warning for warning in made.warnings)


def test_what_the_checkpoint_decides_is_left_out() -> None:
    layers = [Layer({"evaluate.checkpoint": "/c.pth"}, "override"), DATA]
    made = assemble(
        "evaluate",
        template("evaluate"),
        layers,
        schema=json_schema("evaluate"),
        left_out={"model.feat_dim", "dataset.pixel_std"},
    )
    assert "feat_dim" not in made.spec["model"]
    assert "pixel_std" not in made.spec["dataset"]
    assert made.provenance["model.feat_dim"] == "checkpoint (read at launch)"
