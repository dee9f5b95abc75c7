"""The wheel in an empty environment: another working folder, read-only packages, an empty home (R12)."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tao_skill.bank.skill import DEFAULT_SKILL

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment that holds the built wheel and what it needs, read-only."""
    base = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(base), str(ROOT)], check=True)
    wheel = next(base.glob("*.whl"))
    venv.create(base / "env", with_pip=True)
    subprocess.run([str(base / "env/bin/python"), *pip[1:], "install", str(wheel)], check=True)
    packages = next((base / "env" / "lib").glob("python*")) / "site-packages"
    for path in (packages, *packages.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    return base / "env"


@pytest.fixture
def call(installed: Path, tmp_path: Path, small_sets: Callable[[Path], Path]) -> Callable[..., Any]:
    """Return what runs a command there and gives the document on its stdout."""
    (tmp_path / "home").mkdir()
    small_sets(tmp_path / "data")
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*words: str, code: int = 0) -> Any:
        command = [str(installed / "bin" / "python"), "-m", "tao_skill", *words, "--json"]
        done = subprocess.run(
            command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "tao-core" not in done.stdout + done.stderr
        return json.loads(done.stdout)

    return run


def test_everything_but_the_work_itself_runs(call: Callable[..., Any], installed: Path, tmp_path: Path) -> None:
    packages = next((installed / "lib").glob("python*")) / "site-packages"
    before = sorted(packages.rglob("*"))
    assert {one["name"] for one in call("skills")["skills"]} >= {DEFAULT_SKILL, "tao-run-automl"}
    assert str(packages) in call("skill", "show")["skill_dir"]
    assert "train" in call("schema", "train")["properties"]
    template = call("template", "train")
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(template))
    call("validate", str(spec), "--action", "train", code=3)
    plan = call("run", "train", "--dry-run", "--automl-policy", "off", "--data-root", "data")
    assert plan["dispatch"] == "trainer"
    assert call("call", "plan", json.dumps({"action": "train", "data_root": "data"}))["automl_policy"] == "on"
    for form in ("bank", "openai", "anthropic", "mcp"):
        assert call("tools", "--format", form)
    assert call("jobs", "list")["jobs"] == []
    parts = {part["extra"]: part["installed"] for part in call("doctor")["parts"]}
    assert not parts["train"]
    assert call("mcp", code=8)["error"]["code"] == "not_available"
    assert call("data", "check", "--data-root", "data", code=8)["error"]["code"] == "not_available"
    assert sorted(packages.rglob("*")) == before


def test_an_installed_skill_works_on_its_own(call: Callable[..., Any], tmp_path: Path) -> None:
    target = call("skill", "install", DEFAULT_SKILL, "--to", "skills")["skill_dir"]
    assert Path(target) == tmp_path / "skills" / DEFAULT_SKILL
    plan = call("run", "train", "--dry-run", "--skill", target, "--automl-policy", "off", "--data-root", "data")
    assert plan["skill_dir"] == target


def test_the_base_is_small(installed: Path) -> None:
    packages = next((installed / "lib").glob("python*")) / "site-packages"
    names = {path.name for path in packages.iterdir()}
    assert not {"torch", "numpy", "boto3", "optuna", "mcp"} & names
    assert sum(path.stat().st_size for path in packages.rglob("*") if path.is_file()) < 100e6
