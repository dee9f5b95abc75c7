"""`skills`, `skill show`, `schema`, `template`, `validate`."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from tao_skill.cli.main import main
from tao_skill.config import ACTIONS

NAME = "tao-train-metric-learning-recognition"


def test_skills(capsys: pytest.CaptureFixture[str]) -> None:  # R1
    assert main(["skills", "--json"]) == 0
    assert NAME in [one["name"] for one in json.loads(capsys.readouterr().out)["skills"]]
    assert main(["skills"]) == 0
    assert NAME in capsys.readouterr().out


def test_skill_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["skill", "show", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["network_arch"] == "ml_recog"
    assert document["automl_enabled"] is True
    assert document["data_sources"]
    assert document["inference_functions"]
    assert main(["skill", "show", NAME]) == 0
    assert "num_epochs = train.num_epochs" in capsys.readouterr().out
    assert main(["skill", "show", "tao-train-metric-learning", "--json"]) == 6
    assert NAME in json.loads(capsys.readouterr().out)["error"]["problems"][0]["expected"]


@pytest.mark.parametrize("action", ACTIONS)
def test_schema_and_template_agree(action: str, capsys: pytest.CaptureFixture[str]) -> None:  # R7 R8
    assert main(["schema", action]) == 0
    schema = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(schema)
    assert main(["template", action]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == schema["default"]
    assert main(["template", action, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == schema["default"]


def test_an_unknown_action(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["schema", "trian"], ["template", "trian"], ["validate", "x", "--action", "trian"], ["run", "trian"]):
        assert main([*words, "--json"]) == 2
        assert "train" in json.loads(capsys.readouterr().out)["error"]["problems"][0]["expected"]


def test_validate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "train: {num_epochs: 3}\ndataset.train_dataset: /t\ndataset.val_dataset: {reference: /r, query: /q}\n"
    )
    assert main(["validate", str(spec), "--action", "train", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["valid"] is True
    spec.write_text(json.dumps({"train": {"num_epoch": 3, "batch_size": 6}, "dataset.train_dataset": "???"}))
    assert main(["validate", str(spec), "--action", "train", "--json"]) == 3
    problems = {one["key"]: one["expected"] for one in json.loads(capsys.readouterr().out)["error"]["problems"]}
    assert "train.num_epochs" in problems["train.num_epoch"]
    assert {"train.batch_size", "dataset.train_dataset"} <= set(problems)
    assert main(["validate", str(tmp_path / "none.yaml"), "--action", "train", "--json"]) == 3
