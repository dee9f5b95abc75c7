"""Finding and loading a skill."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tao_skill.bank.location import BANK_PATH_VARIABLE, bank_root
from tao_skill.bank.skill import DEFAULT_SKILL, Skill, find_skill, list_skills, list_summaries, load_skill
from tao_skill.errors import SkillError, UsageError


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the shipped skill with a small schema and template."""
    folder = tmp_path / "skills" / DEFAULT_SKILL
    shutil.copytree(bank_root() / "skills" / DEFAULT_SKILL, folder)
    shutil.rmtree(folder / "schemas", ignore_errors=True)
    (folder / "schemas").mkdir()
    (folder / "schemas" / "train.schema.json").write_text('{"default": {"a": 1}}')
    (folder / "references" / "spec_template_train.yaml").write_text("a: 1\n")
    return folder


def test_the_default_skill_and_its_name() -> None:
    assert find_skill().name == find_skill(DEFAULT_SKILL).name == DEFAULT_SKILL  # R1
    assert DEFAULT_SKILL in [skill.name for skill in list_skills()]


def test_an_unknown_name_is_an_error_with_the_nearest() -> None:
    with pytest.raises(SkillError) as caught:
        find_skill("tao-train-metric-lerning")
    assert f"did you mean {DEFAULT_SKILL}?" in caught.value.problems[0].expected


def test_a_skill_that_trains_no_model_is_listed_but_not_found(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = copy.parent / "tao-other"
    other.mkdir()
    (other / "SKILL.md").write_text("---\nname: tao-other\ndescription: Does things.\n---\n# Other\n")
    monkeypatch.setenv(BANK_PATH_VARIABLE, str(copy.parent.parent))
    assert [(one.name, one.is_model) for one in list_summaries()] == [("tao-other", False), (DEFAULT_SKILL, True)]
    assert [skill.name for skill in list_skills()] == [DEFAULT_SKILL]
    with pytest.raises(SkillError, match="There is no model skill 'tao-other'"):
        find_skill("tao-other")


def test_a_path_names_a_skill_too(copy: Path) -> None:
    assert find_skill(str(copy)).directory == copy


def test_schema_and_template(copy: Path) -> None:
    skill = load_skill(copy)
    assert skill.schema("train") == {"default": {"a": 1}}
    assert skill.template("train") == {"a": 1}
    with pytest.raises(UsageError, match="no action 'trian'"):
        skill.schema("trian")
    with pytest.raises(SkillError, match=r"evaluate\.schema\.json"):
        skill.schema("evaluate")


def spoil(skill: Skill, file: str, text: str | None) -> None:
    """Remove a file of the skill, or overwrite it."""
    path = skill.directory / file
    if text is None:
        path.unlink()
    else:
        path.write_text(text)


@pytest.mark.parametrize("text", [None, "{not json", "[1]", '{"maximum": Infinity}', ""])
def test_automl_is_not_runnable_without_a_schema_that_parses(copy: Path, text: str | None) -> None:  # R10
    skill = load_skill(copy)
    assert skill.automl_runnable() == (True, "")
    spoil(skill, "schemas/train.schema.json", text)
    runnable, reason = skill.automl_runnable()
    assert not runnable
    assert "train.schema.json" in reason


@pytest.mark.parametrize("text", [None, "a: [", "- 1", ""])
def test_automl_is_not_runnable_without_a_template_that_parses(copy: Path, text: str | None) -> None:  # R10
    skill = load_skill(copy)
    spoil(skill, "references/spec_template_train.yaml", text)
    runnable, reason = skill.automl_runnable()
    assert not runnable
    assert "spec_template_train.yaml" in reason


def test_a_table_that_speaks_of_an_unknown_action_is_an_error(copy: Path) -> None:
    document = copy / "SKILL.md"
    lines = document.read_text().splitlines()
    number = next(i for i, line in enumerate(lines) if line.startswith("| export | `results_dir`"))
    lines[number] = lines[number].replace("export", "exprot")
    document.write_text("\n".join(lines))
    with pytest.raises(SkillError) as caught:
        load_skill(copy)
    assert caught.value.problems[0].key == f"{document} line {number + 1}"


def test_rows_inside_an_automl_trial_replace_the_plain_ones() -> None:
    skill = find_skill()
    plain = {row.spec_field: row.function for row in skill.inference_rows("train")}
    trial = {row.spec_field: row.function for row in skill.inference_rows("train", automl=True)}
    assert plain["results_dir"] == "output_dir"
    assert trial["results_dir"] == "automl_output_dir"
    assert trial["encryption_key"] == "key"
    assert "train.checkpoint_interval" not in plain


def test_importing_the_bank_is_light() -> None:
    program = (
        "import sys, json, tao_skill.bank.skill, tao_skill.jobs.store, tao_skill.jobs.process, tao_skill.storage.stage;"
        "print(json.dumps([name for name in ('torch', 'boto3', 'filelock', 'numpy', 'optuna') if name in sys.modules]))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == []
