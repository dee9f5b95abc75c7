"""The generated files that are committed."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from tao_skill.config import ACTIONS

ROOT = Path(__file__).resolve().parents[2]
SKILL = ROOT / "skills" / "tao-train-metric-learning-recognition"


def test_generated_files_are_current() -> None:  # R13
    done = subprocess.run(
        [sys.executable, "tools/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("action", ACTIONS)
def test_packaged_template_equals_the_schema_default(action: str) -> None:  # R8
    schema = json.loads((SKILL / "schemas" / f"{action}.schema.json").read_text())
    template = yaml.safe_load((SKILL / "references" / f"spec_template_{action}.yaml").read_text())
    assert template == schema["default"]
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(template)


def test_manifest_lists_every_action() -> None:  # R7
    manifest = json.loads((SKILL / "schemas" / "manifest.json").read_text())
    assert set(manifest["actions"]) == set(ACTIONS)
    assert manifest["automl_enabled"] is True
    assert manifest["failures"] == {}
    for entry in manifest["actions"].values():
        assert (SKILL / entry["path"]).is_file()


def test_nothing_expects_the_peers_sources_at_run_time() -> None:  # R12
    texts = [path for folder in ("tao_skill", "skills") for path in (ROOT / folder).rglob("*") if path.is_file()]
    found = [path for path in texts if path.suffix in (".py", ".yaml", ".json") and "tao-core" in path.read_text()]
    assert found == []


def test_manifest_obeys_its_own_schema() -> None:
    schema = json.loads((ROOT / "schemas" / "manifest.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(json.loads((SKILL / "schemas" / "manifest.json").read_text()))
