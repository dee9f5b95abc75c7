"""A skill that this package knows only from its files: its data, its program and the form of its spec are its own."""

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tao_skill.cli.main import main
from tao_skill.config.yaml_text import dump_yaml
from tao_skill.jobs.record import JobStatus
from tao_skill.run.make_plan import plan_run
from tao_skill.run.request import RunRequest
from tao_skill.run.results_root import open_store
from tao_skill.run.resume import resume_job
from tao_skill.run.runner import run
from tao_skill.run.spec_file import read_spec, write_spec

# Keeps what it was given; fails as long as there is a file `fail` beside it.
SCRIPT = """
import json, pathlib, shutil, sys
file = pathlib.Path(sys.argv[2])
spec = json.loads(file.read_text())
shutil.copy(file, file.parent / "seen.json")
sys.exit(3 if (pathlib.Path(__file__).parent / "fail").exists() else 0)
"""
ACTIONS = ("train", "evaluate", "inference", "prune")
TEXTS = ("results_dir", "dataset.train_dataset", "inference.input_path", "evaluate.images")


def leaf(default: Any) -> dict[str, Any]:
    return {"type": "string", "default": default}


def make_skill(folder: Path) -> Path:
    """Write a skill whose script reads JSON; its data are folders of any kind."""
    inputs = {name: {"type": "folder", "optional": True} for name in TEXTS[1:]}
    fact = {
        "execution": {"type": "python_script", "script": "run.py", "config_format": "json"},
        "inputs": inputs,
    }
    info = {"name": folder.name, "automl_enabled": False, "actions": dict.fromkeys(ACTIONS, fact)}
    sections: dict[str, Any] = {}
    for name in TEXTS[1:]:
        section, _, last = name.partition(".")
        sections[section] = {"type": "object", "properties": {last: leaf("")}}
    schema = {"type": "object", "properties": {"results_dir": leaf(""), "resume": leaf(""), **sections}}
    spec = {"results_dir": "", "resume": ""} | {
        name: dict.fromkeys(one["properties"], "") for name, one in sections.items()
    }
    rows = "| train | `resume` | `resume_model` | newest checkpoint of this job |\n"
    rows += "".join(f"| {action} | `results_dir` | `output_dir` | folder of this job |\n" for action in ACTIONS)
    table = f"| Action | Spec Field | Inference Function | Meaning |\n|---|---|---|---|\n{rows}\n"
    table += "| Action | Spec Key | Source | Files | List? |\n|---|---|---|---|---|\n"
    table += "| train | `dataset.train_dataset` | train_datasets | `boxes` | No |\n"
    files = {
        "SKILL.md": f"---\nname: {folder.name}\ndescription: Another one.\n---\n\n{table}",
        "references/skill_info.yaml": yaml_of(info),
        "run.py": SCRIPT,
    }
    for action in ACTIONS:
        files[f"references/spec_template_{action}.yaml"] = yaml_of(spec)
        files[f"schemas/{action}.schema.json"] = json.dumps(schema)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def yaml_of(document: Any) -> str:
    # Through JSON, so that no node is an alias of another.
    return dump_yaml(json.loads(json.dumps(document)))


@pytest.fixture
def skill_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAO_SKILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TAO_RESULTS_ROOT", raising=False)
    return make_skill(tmp_path / "other-skill")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return an archive of files that are no images, in no folders of classes."""
    (tmp_path / "boxes").mkdir()
    (tmp_path / "boxes" / "one.txt").write_text("1 2 3 4")
    with tarfile.open(tmp_path / "boxes.tar.gz", "w:gz") as file:
        file.add(tmp_path / "boxes" / "one.txt", "one.txt")
    return tmp_path / "boxes.tar.gz"


def request(skill_dir: Path, action: str, *overrides: str) -> RunRequest:
    return RunRequest(
        action=action, skill=str(skill_dir), overrides=list(overrides), automl_policy="off",
        results_root=str(skill_dir.parent / "results"),
    )  # fmt: skip


def seen(results_dir: str, action: str) -> Any:
    return json.loads((Path(results_dir) / action / "seen.json").read_text())


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("key", TEXTS[1:])
def test_its_data_are_looked_at_by_nobody_else(skill_dir: Path, archive: Path, action: str, key: str) -> None:
    folder = archive.with_name("boxes")
    for place in (archive, folder):
        asked = request(skill_dir, action, f"{key}={place}")
        assert plan_run(asked).inputs[key] == [str(place)]
        ended = run(asked)
        assert ended.status == JobStatus.COMPLETE, ended.error
        section, _, last = key.partition(".")
        given = seen(ended.results_dir, action)
        assert (Path(given[section][last]) / "one.txt").is_file()
        assert set(given[section]) == {last}


def test_its_spec_has_the_form_that_it_declares(skill_dir: Path) -> None:
    ended = run(request(skill_dir, "train"))
    folder = Path(ended.results_dir) / "train"
    assert json.loads((folder / "spec.json").read_text()) == seen(ended.results_dir, "train")
    assert not (folder / "spec.yaml").exists()


def test_a_job_of_it_goes_on_with_its_own_program(skill_dir: Path) -> None:
    (skill_dir / "fail").touch()
    broken = run(request(skill_dir, "train"))
    assert broken.status == JobStatus.ERROR
    (skill_dir / "fail").unlink()
    store = open_store(str(skill_dir.parent / "results"))
    assert main(["jobs", "resume", broken.job_id, "--results-root", str(store.root)]) == 0
    record = store.load(broken.job_id)
    assert record.command[1] == str(skill_dir / "run.py")
    assert record.skill_dir == str(skill_dir)


def test_a_job_of_one_in_the_bank_knows_it_by_name(
    skill_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bank in ("bank", "moved"):
        shutil.copytree(skill_dir, tmp_path / bank / "skills" / skill_dir.name)
    monkeypatch.setenv("TAO_SKILL_BANK_PATH", str(tmp_path / "bank"))
    installed = tmp_path / "bank" / "skills" / skill_dir.name
    (installed / "fail").touch()
    broken = run(request(skill_dir, "train").model_copy(update={"skill": skill_dir.name}))
    assert broken.status == JobStatus.ERROR
    monkeypatch.setenv("TAO_SKILL_BANK_PATH", str(tmp_path / "moved"))
    store = open_store(str(tmp_path / "results"))
    assert resume_job(store, broken.job_id).status == JobStatus.COMPLETE
    record = store.load(broken.job_id)
    assert record.skill_dir is None
    assert record.command[1] == str(tmp_path / "moved" / "skills" / skill_dir.name / "run.py")


def test_a_spec_may_be_kept_as_json(tmp_path: Path) -> None:
    spec = {"a": {"b": 1e-4, "encryption_key": "SECRET123"}}
    for form in ("yaml", "json"):
        (tmp_path / form).mkdir()
        assert write_spec(tmp_path / form, spec, form).name == f"spec.{form}"
        assert read_spec(tmp_path / form) == {"a": {"b": 1e-4}}
    assert read_spec(tmp_path) is None
