"""The form of skill_info.yaml."""

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from tao_skill.bank.location import bank_root
from tao_skill.bank.skill_info import SkillInfo, load_skill_info
from tao_skill.errors import SkillError

REFERENCES = bank_root() / "skills" / "tao-train-metric-learning-recognition" / "references"
SHIPPED = REFERENCES / "skill_info.yaml"


def written(folder: Path, change: dict[str, object]) -> Path:
    """Write the shipped document with some top keys replaced."""
    path = folder / "skill_info.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(SHIPPED.read_text()) | change))
    return path


def test_the_json_schema_is_valid_and_accepts_what_is_shipped() -> None:
    schema = SkillInfo.model_json_schema()
    Draft202012Validator.check_schema(schema)
    for path in REFERENCES.glob("*skill_info.yaml"):
        assert list(Draft202012Validator(schema).iter_errors(yaml.safe_load(path.read_text()))) == []


def test_an_unknown_key_is_an_error_that_names_the_nearest(tmp_path: Path) -> None:
    path = written(tmp_path, {"automl_enable": True})
    with pytest.raises(SkillError) as caught:
        load_skill_info(path)
    problem = caught.value.problems[0]
    assert problem.key == "skill_info.yaml: automl_enable"
    assert "did you mean automl_enabled?" in problem.expected
    assert str(path) in caught.value.message


def test_what_another_program_reads_is_left_alone_in_a_skill_of_another_bank(tmp_path: Path) -> None:
    execution = {"type": "python_script", "script": "s.py", "image": "x"}
    changes: dict[str, object] = {
        "containers": ["x"],
        "actions": {"train": {"execution": execution, "gpus": 1}},
        "gpu_spec_key": "Trainer.num_GPUs",
        "key_defaults": {"Model.Head.dim": 3},
        "spec_shorthand_keys": {"LR": "Optim.LR"},
    }
    info = load_skill_info(written(tmp_path, changes), foreign=True)
    assert info.actions["train"].execution is not None
    assert info.spec_shorthand_keys == {"LR": "Optim.LR"}
    with pytest.raises(SkillError) as caught:
        load_skill_info(written(tmp_path, changes))
    assert len(caught.value.problems) == 3


def test_an_unknown_key_deep_inside_names_the_nearest_of_its_own_place(tmp_path: Path) -> None:
    actions = {"train": {"command": "x", "inputs": {"a.b": {"type": "file", "optinal": True}}, "outputs": {}}}
    with pytest.raises(SkillError) as caught:
        load_skill_info(written(tmp_path, {"actions": actions}))
    problem = caught.value.problems[0]
    assert problem.key == "skill_info.yaml: actions.train.inputs.a.b.optinal"
    assert "did you mean optional?" in problem.expected
    execution = {"type": "python_script", "script": "s.py", "args": [], "confg_format": "yaml"}
    actions = {"train": {"command": "x", "inputs": {}, "outputs": {}, "execution": execution}}
    with pytest.raises(SkillError, match="did you mean config_format"):
        load_skill_info(written(tmp_path, {"actions": actions}))


def test_all_wrong_keys_are_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, {"automl_enabled": "yes", "actions": {}, "spec_shorthand_keys": {"a": "B c"}})
    with pytest.raises(SkillError) as caught:
        load_skill_info(path)
    keys = {problem.key for problem in caught.value.problems}
    assert keys == {f"skill_info.yaml: {key}" for key in ("automl_enabled", "actions", "spec_shorthand_keys.a")}


@pytest.mark.parametrize("text", ["", "- a list", "key: [unclosed", "a: b: c", "\x00"])
def test_a_file_that_is_no_document_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "skill_info.yaml"
    path.write_text(text)
    with pytest.raises(SkillError) as caught:
        load_skill_info(path)
    assert str(path) in caught.value.message


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SkillError, match="missing"):
        load_skill_info(tmp_path / "skill_info.yaml")
