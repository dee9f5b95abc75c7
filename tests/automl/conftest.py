"""A skill of nobody's: a schema, a template, and a script that trains in no time."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tao_skill.config.yaml_text import dump_yaml


def load(name: str) -> ModuleType:
    """Load a neighbour of this file: tests are no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(name.removeprefix("automl_") + ".py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


chat = load("automl_chat_server")
load("automl_machine")
load("automl_searcher_loop")
SCRIPT = '''
"""Train: the nearer rate is to 0.01 the better, and a little better each epoch."""
import json, math, os, pathlib, signal, sys, time
import yaml

spec = yaml.safe_load(pathlib.Path(sys.argv[2]).read_text())
folder = pathlib.Path(spec["results_dir"]) / "train"
folder.mkdir(parents=True, exist_ok=True)
with (folder / "pids").open("a") as file:
    file.write(f"{os.getpid()}\\n")
fit = spec["fit"]
status = folder / "status.json"
if status.exists() and not status.read_bytes().endswith(b"\\n"):  # a kill may have left half a line
    with status.open("a") as file:
        file.write("\\n")
begin = 0
if spec["resume"]:
    begin = json.loads(pathlib.Path(spec["resume"]).read_text())["epoch"]
fail = spec["fail"]
if fail and fit["rate"] > spec["fail_above"]:
    if fail == "memory":
        raise SystemExit("RuntimeError: CUDA out of memory")
    if fail == "data":
        (folder / "error.json").write_text(json.dumps({"code": "data_error", "message": "no images"}))
        sys.exit(4)
    if fail == "kill" and not (folder / "killed").exists() and begin == 0:
        (folder / "kill_next").touch()
    if fail == "nan":
        raise SystemExit("The training diverged: its loss is nan")
for epoch in range(begin, fit["epochs"]):
    time.sleep(spec["seconds"])
    value = 1 - abs(math.log10(fit["rate"]) + 2) / 4 - 0.3 / (epoch + 1) + 0.01 * (fit["kind"] == "good")
    with status.open("a") as file:
        file.write(json.dumps({"status": "RUNNING", "epoch": epoch, "kpi": {"score": value}}) + "\\n")
    name = folder / f"model_epoch_{epoch:03d}.pth"
    name.write_text(json.dumps({"epoch": epoch + 1}))
    for old in folder.glob("model_epoch_*.pth"):
        if old != name:
            old.unlink()
    if (folder / "kill_next").exists() and not (folder / "killed").exists():
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
(folder / "results.json").write_text(json.dumps({"metrics": {"score": value}, "checkpoint": str(name)}))
'''


def leaf(kind: str, default: Any, **facts: Any) -> dict[str, Any]:
    return {"type": kind, "default": default, **facts}


def make_skill(folder: Path, **defaults: Any) -> Path:
    """Write the skill into a folder; ``defaults`` replace those of the top-level leaves."""
    fit = {
        "rate": leaf("number", 0.5, minimum=1e-8, exclusiveMinimum=0, maximum=1.0, automl_enabled=True,
                     x_search={"low": 1e-5, "high": 1.0, "log": True}),
        "kind": leaf("string", "plain", enum=["plain", "good"], automl_enabled=True, option_weights=[0.7, 0.3]),
        "batch": leaf("integer", 4, minimum=1, maximum=4096,
                      x_multiple_of={"key": "fit.group", "search_at_least": 2}),
        "group": leaf("integer", 4, minimum=1, maximum=64),
        "drag": leaf("number", 0.9, minimum=0.0, maximum=1.0, automl_enabled=True,
                     x_effect_if=[{"key": "fit.kind_of_drag", "in": ["heavy"], "reason": "{value} has no drag"}]),
        "kind_of_drag": leaf("string", "none", enum=["none", "heavy"]),
        "epochs": leaf("integer", 4, minimum=1, maximum=100, x_budget=True),
        "names": leaf("array", [1], automl_enabled=False),
    }  # fmt: skip
    top = {
        "results_dir": "", "resume": "", "fail": "", "fail_above": 0.1, "seconds": 0.0,
    } | defaults  # fmt: skip
    kinds = {str: "string", float: "number", int: "integer"}
    properties: dict[str, Any] = {name: leaf(kinds[type(value)], value) for name, value in top.items()}
    properties["fit"] = {"type": "object", "properties": fit, "automl_enabled": False}
    default = top | {"fit": {name: node["default"] for name, node in fit.items()}}
    schema = {
        "type": "object", "properties": properties, "default": default,
        "automl_default_parameters": ["fit.rate", "fit.kind", "fit.drag"],
        "automl_disabled_parameters": ["fit.names"],
    }  # fmt: skip
    info = {
        "name": folder.name,
        "automl_enabled": True,
        "actions": {"train": {"execution": {"type": "python_script", "script": "scripts/train.py"}}},
    }
    document = f"""---
name: {folder.name}
description: A model that trains in no time.
---

- Monitoring metric: `score`

| Action | Spec Field | Inference Function | Meaning |
|---|---|---|---|
| train | `results_dir` | `output_dir` | folder of this job |
| train | `resume` | `resume_model` | newest checkpoint of this job |
| train (AutoML) | `resume` | `automl_resume_model` | newest checkpoint of the trial that this one continues |
"""
    for name, text in {
        "SKILL.md": document,
        "references/skill_info.yaml": dump_yaml(info),
        "references/spec_template_train.yaml": dump_yaml(default),
        "schemas/train.schema.json": json.dumps(schema),
        "scripts/train.py": SCRIPT,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def skill_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAO_SKILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TAO_RESULTS_ROOT", raising=False)
    return make_skill(tmp_path / "tiny-skill")


@pytest.fixture
def new_skill(tmp_path: Path, skill_dir: Path) -> Callable[..., Path]:
    """Return what writes another such skill, with its own top-level leaves."""
    assert skill_dir.parent == tmp_path
    return lambda name, **defaults: make_skill(tmp_path / name, **defaults)


@pytest.fixture
def chat_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A language model that answers well, unless a test changes `answer`; named in the environment."""
    with chat.serve() as server:
        monkeypatch.setenv("AUTOML_LLM_ENDPOINT", server.url)
        monkeypatch.setenv("AUTOML_LLM_MODEL", "tiny")
        monkeypatch.setenv("AUTOML_LLM_RETRY_DELAY", "0.01")
        for name in ("API_KEY", "TEMPERATURE", "MAX_TOKENS", "TIMEOUT", "MAX_RETRIES"):
            monkeypatch.delenv(f"AUTOML_LLM_{name}", raising=False)
        yield server
