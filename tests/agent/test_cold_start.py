"""Small calls start at once: what they load is counted, for time on a busy machine says nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "PIL", "anyio", "boto3", "botocore", "cv2", "filelock", "httpx", "jsonschema", "lightning", "mcp", "numpy",
    "onnxruntime", "optuna", "pandas", "pytorch_lightning", "ray", "scipy", "sklearn", "starlette", "timm", "torch",
    "torchvision", "uvicorn",
}  # fmt: skip
# About a tenth above what they load today; pydantic alone loads 210.
MOST_MODULES = {"tools": 170, "schema": 300, "status": 350, "plan": 420}
PROGRAM = """
import sys, json
from tao_skill.cli.main import main
code = main(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""
CALLS = {
    "tools": ["tools", "--format", "openai"],
    "schema": ["schema", "train"],
    "status": ["call", "status"],
    "plan": ["call", "plan", '{"action": "train", "data_root": "data", "automl_policy": "off"}'],
}


@pytest.mark.parametrize("name", CALLS)
def test_what_is_loaded(name: str, folder: Path) -> None:
    words = [sys.executable, "-c", PROGRAM, *CALLS[name]]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stdout
    assert not HEAVY & {module.partition(".")[0] for module in modules}
    assert len(modules) <= MOST_MODULES[name], f"{len(modules)} modules"
