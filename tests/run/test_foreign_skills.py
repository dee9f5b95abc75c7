"""A skill that this package knows only from its files: its data, its program and the form of its spec are its own."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tao_skill.config.yaml_text import dump_yaml
from tao_skill.jobs.record import JobStatus
from tao_skill.run.make_plan import plan_run
from tao_skill.run.request import RunRequest
from tao_skill.run.runner import run

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
    schema = {"type": "object", "properties": {"results_dir": leaf(""), **sections}}
    spec = {"results_dir": ""} | {name: dict.fromkeys(one["properties"], "") for name, one in sections.items()}
    rows = "".join(f"| {action} | `results_dir` | `output_dir` | folder of this job |\n" for action in ACTIONS)
    table = f"| Action | Spec Field | Inference Function | Meaning |\n|---|---|---|---|\n{rows}"
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
