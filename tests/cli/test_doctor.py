"""`doctor` and `skill install`: what is here, and a copy that stands on its own."""

import json
import shutil
from pathlib import Path

import pytest

from tao_skill.bank.skill import DEFAULT_SKILL, load_skill
from tao_skill.cli.main import main
from tao_skill.errors import SkillError, StorageError
from tao_skill.run.doctor import _CREDENTIALS


def test_doctor_names_parts_places_and_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in _CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    assert main(["doctor", "--json"]) == 0
    said = capsys.readouterr().out
    found = json.loads(said)
    assert "AWS_SECRET_ACCESS_KEY" in found["credentials"]
    assert "wJalrXUtnFEMI" not in said
    assert DEFAULT_SKILL in found["skills"]
    parts = {part["extra"]: part for part in found["parts"]}
    assert {"train", "s3", "automl", "ray", "deploy", "mcp", "tensorrt-rtx"} <= set(parts)
    assert all(part["installed"] == (not part["missing"]) for part in parts.values())
    assert list(tmp_path.iterdir()) == []
    assert main(["doctor"]) == 0
    assert "credentials set: AWS_SECRET_ACCESS_KEY" in capsys.readouterr().out


def test_a_place_that_cannot_be_written_is_no_trouble_with_skills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAO_SKILL_CACHE", str(tmp_path / "file" / "cache"))
    assert main(["doctor", "--json"]) == StorageError.exit_code
    assert json.loads(capsys.readouterr().out)["trouble"] == ""


@pytest.mark.parametrize("variable", ["HOME", "TAO_SKILL_CACHE"])
def test_doctor_writes_nothing(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("TAO_SKILL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "new"))
    assert main(["doctor", "--json"]) == 0
    places = {place["what"]: place for place in json.loads(capsys.readouterr().out)["places"]}
    assert places["cache"]["path"].startswith(str(tmp_path / "new"))
    assert places["cache"]["writable"]
    assert list(tmp_path.iterdir()) == []


def test_a_skill_is_installed_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["skill", "install", DEFAULT_SKILL, "--to", str(tmp_path / "skills")]
    assert main([*words, "--json"]) == 0
    target = Path(json.loads(capsys.readouterr().out)["skill_dir"])
    skill = load_skill(target)
    for action in skill.info.actions:
        assert skill.schema(action)["default"] == skill.template(action)
    assert (target / "scripts" / "train.py").is_file()
    assert main(words) == StorageError.exit_code
    (target / "SKILL.md").write_text("mine")
    assert main([*words, "--replace"]) == 0
    assert (target / "SKILL.md").read_text() != "mine"
    assert [path.name for path in target.parent.iterdir()] == [DEFAULT_SKILL]


@pytest.mark.parametrize("name", ["nope", "../x", "/etc", "."])
def test_only_skills_are_installed(tmp_path: Path, name: str) -> None:
    assert main(["skill", "install", name, "--to", str(tmp_path)]) == SkillError.exit_code
    assert list(tmp_path.iterdir()) == []


def test_an_installed_skill_is_no_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / DEFAULT_SKILL).symlink_to(elsewhere)
    assert main(["skill", "install", DEFAULT_SKILL, "--to", str(tmp_path), "--replace"]) == 0
    assert not (tmp_path / DEFAULT_SKILL).is_symlink()
    assert list(elsewhere.iterdir()) == []
    shutil.rmtree(tmp_path / DEFAULT_SKILL)
