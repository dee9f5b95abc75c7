"""Where the bank is looked for."""

from pathlib import Path

import pytest

from tao_skill.bank.location import BANK_PATH_VARIABLE, bank_root, skill_directories
from tao_skill.errors import SkillError


def test_checkout_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(BANK_PATH_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    names = [path.name for path in skill_directories()]
    assert "tao-train-metric-learning-recognition" in names  # R1


def test_the_variable_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skill = tmp_path / "skills" / "other"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text("---\nname: other\n---\n")
    monkeypatch.setenv(BANK_PATH_VARIABLE, str(tmp_path))
    assert bank_root() == tmp_path
    assert skill_directories() == [skill]


def test_a_variable_that_names_no_bank_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BANK_PATH_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(SkillError) as caught:
        bank_root()
    assert caught.value.problems[0].value == str(tmp_path / "nowhere")
    assert BANK_PATH_VARIABLE in caught.value.next_step
