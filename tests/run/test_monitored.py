"""A trial chooses its best checkpoint by the metric that trials are compared by."""

from pathlib import Path
from typing import Any

import pytest

from tao_skill.bank.skill import find_skill
from tao_skill.config.automl_settings import read_settings
from tao_skill.run.inference_functions import Files
from tao_skill.run.prepare_search import PreparedSearch, prepare_search

MONITOR, MODE = "train.checkpointer.monitor", "train.checkpointer.mode"


def prepared(explicit: dict[str, Any], **settings: Any) -> PreparedSearch:
    skill = find_skill(None)
    template = skill.template("train")
    for key, value in explicit.items():
        template["train"]["checkpointer"][key.rpartition(".")[2]] = value
    return prepare_search(skill, skill.schema("train"), template, explicit, read_settings(settings))


def chosen(search: PreparedSearch, folder: Path) -> tuple[Any, Any]:
    own = Files("trial", "train", folder)
    checkpointer = search.form.build({}, 3, folder, own, None).spec["train"]["checkpointer"]
    return checkpointer["monitor"], checkpointer["mode"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (None, None)),
        ({"metric": "val Precision at Rank 1", "direction": "maximize"}, (None, None)),  # as the skill does
        ({"metric": "train_loss", "direction": "minimize"}, ("train_loss", "min")),
        ({"metric": "train_loss"}, ("train_loss", "min")),
        ({"metric": "val_AMI", "direction": "maximize"}, ("val_AMI", "max")),
        ({"direction": "minimize"}, ("val Precision at Rank 1", "min")),
    ],
)
def test_the_searchs_metric_chooses_the_checkpoint(
    tmp_path: Path, settings: dict[str, Any], expected: tuple[Any, Any]
) -> None:
    search = prepared({}, **settings)
    assert chosen(search, tmp_path) == expected
    assert search.warnings == []


def test_what_the_user_set_himself_stays_and_is_told(tmp_path: Path) -> None:
    search = prepared({MONITOR: "val_AMI"}, metric="train_loss")
    assert chosen(search, tmp_path) == ("val_AMI", None)
    assert f"best by {MONITOR} = val_AMI, as you set it" in search.warnings[0]
    assert prepared({MONITOR: "val_AMI"}).warnings
    same = prepared({MONITOR: "train_loss"}, metric="train_loss")
    assert (chosen(same, tmp_path), same.warnings) == (("train_loss", "min"), [])
    assert f"{MODE} = max" in prepared({MODE: "max"}, metric="train_loss").warnings[0]
