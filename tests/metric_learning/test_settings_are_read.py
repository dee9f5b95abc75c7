"""No dead settings: every leaf of a spec is read by the actions that carry it."""

from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tao_skill.config import build, check
from tao_skill.config.keys import nest
from tao_skill.config.leaves import leaves
from tao_skill.metric_learning.actions import run_action
from tao_skill.metric_learning.training.criterion import build_criterion

# Leaves whose reader is still to come; empty, since all have landed.
TO_COME: dict[str, tuple[str, ...]] = {}
# Read where a spec enters the program, before an action runs; tests/cli/test_ml_recog.py shows it.
READ_BY_THE_COMMAND = {"results_dir"}
# Accepted for compatibility, and answered with a warning; tests/config/test_check.py shows it.
ANSWERED_WITH_A_WARNING = {"encryption_key", "evaluate.num_nodes", "inference.num_nodes"}
# The skill's data-source table names it for inference, and leaves it empty.
EMPTY_BY_THE_TABLE = {"inference": {"dataset.val_dataset.query"}}


class Section:
    """A section of a typed spec that notes which leaves are asked for."""

    def __init__(self, section: Any, path: str, seen: set[str]) -> None:
        self._section, self._path, self._seen = section, path, seen

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._section, name)
        key = f"{self._path}{name}"
        if is_dataclass(value):
            return Section(value, f"{key}.", self._seen)
        self._seen.add(key)
        return value


class Given(dict[str, Any]):
    """Nested settings that note which leaves are asked for by name."""

    def __init__(self, content: dict[str, Any], path: str, seen: set[str]) -> None:
        self._path, self._seen = path, seen
        wrapped = {
            name: Given(value, f"{path}{name}.", seen) if isinstance(value, dict) else value
            for name, value in content.items()
        }
        super().__init__(wrapped)

    def __contains__(self, name: object) -> bool:
        self._seen.add(f"{self._path}{name}")
        return super().__contains__(name)


yaml.SafeDumper.add_multi_representer(Given, lambda dumper, value: dumper.represent_dict(value))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Note every leaf that is read from now on, by rules and warnings as well."""
    noted: set[str] = set()
    for module in (build, check):
        original = module.typed_spec

        def typed(action: str, nested: Any, original: Any = original) -> Any:
            return Section(original(action, nested), "", noted)

        monkeypatch.setattr(module, "typed_spec", typed)
    # Looking for settings without effect asks for everything: that is not reading.
    monkeypatch.setattr("tao_skill.config.check.no_effect_warnings", lambda *_: [])
    monkeypatch.setattr("tao_skill.config.check.cross_field_problems", lambda *_: [])
    return noted


def unread(action: str, seen: set[str]) -> list[str]:
    known = {leaf.key for leaf in leaves(action)} - READ_BY_THE_COMMAND - ANSWERED_WITH_A_WARNING
    known -= EMPTY_BY_THE_TABLE.get(action, set())
    return sorted(key for key in known - seen if not key.startswith(TO_COME.get(action, ())))


@pytest.fixture
def trained(spec: dict[str, Any], task: dict[str, Path], tmp_path: Path) -> tuple[str, dict[str, Path]]:
    """Return the checkpoint of one epoch, and its task."""
    result = run_action("train", nest(spec | {"train.num_epochs": 1}), results_dir=tmp_path / "trained")
    return str(result["checkpoint"]), task


def run(action: str, flat: dict[str, Any], folder: Path, seen: set[str]) -> dict[str, Any]:
    return run_action(action, Given(nest(flat), "", seen), results_dir=folder)


def test_training_reads_every_setting(spec: dict[str, Any], tmp_path: Path, seen: set[str]) -> None:
    usual = {
        "train.num_epochs": 2,
        "train.checkpointer.enable_topk": True,
        "dataset.gaussian_blur.enabled": True,
        "dataset.gaussian_blur.kernel": [3, 3],
        "model.backbone": "resnet_50",
    }
    run("train", spec | usual, tmp_path / "a", seen)
    # Momentum is read with SGD only, and the rates of class vectors where a loss has some.
    class_vectors = {"train.num_epochs": 1, "train.optim.name": "SGD", "train.loss.name": "arcface"}
    run("train", spec | class_vectors, tmp_path / "b", seen)
    choices = {leaf.key: leaf.choices for leaf in leaves("train")}
    for key in ("train.loss.name", "train.miner.name"):
        for name in choices[key]:
            typed, _ = build.build_spec("train", nest(spec | {key: name}))
            build_criterion(typed.train, num_instance=2, num_images=24, num_classes=6, embed_dim=16, seed=0)
    assert unread("train", seen) == []


@pytest.mark.parametrize("action", ["evaluate", "inference"])
def test_recognition_reads_every_setting(
    spec: dict[str, Any], trained: tuple[str, dict[str, Path]], tmp_path: Path, seen: set[str], action: str
) -> None:
    checkpoint, task = trained
    seen.clear()
    data = {"dataset.val_dataset.reference": str(task["reference"]), "dataset.workers": 0}
    data |= {
        "evaluate": {"dataset.val_dataset.query": str(task["query"])},
        "inference": {"inference.input_path": str(task["query"])},
    }[action]
    run(action, data | {f"{action}.checkpoint": checkpoint}, tmp_path / "with", seen)
    # Without a checkpoint the paths of pretrained weights are read.
    model = {key: value for key, value in spec.items() if key.startswith("model.")}
    run(action, data | model | {"model.pretrained_model_path": checkpoint}, tmp_path / "without", seen)
    assert unread(action, seen) == []


def test_export_and_engine_read_every_setting(
    spec: dict[str, Any], trained: tuple[str, dict[str, Path]], tmp_path: Path, seen: set[str]
) -> None:
    checkpoint, task = trained
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    seen.clear()
    images = {"export.int8.reference": str(task["reference"]), "export.int8.query": str(task["query"])}
    given = {"export.checkpoint": checkpoint, "export.int8.enabled": True, "export.int8.max_precision_drop": 1.0}
    exported = run("export", given | images, tmp_path / "export", seen)
    # Without a checkpoint the paths of pretrained weights are read.
    model = {key: value for key, value in spec.items() if key.startswith("model.")}
    run("export", model | {"model.pretrained_model_path": checkpoint}, tmp_path / "without", seen)
    assert unread("export", seen) == []
    seen.clear()
    calibration = "gen_trt_engine.tensorrt.calibration"
    given = {
        "gen_trt_engine.onnx_file": exported["checkpoint"],
        "gen_trt_engine.trt_engine": str(tmp_path / "model.engine"),
        "gen_trt_engine.tensorrt.library": "tensorrt_rtx",
        "gen_trt_engine.tensorrt.data_type": "INT8",
        f"{calibration}.cal_image_dir": [str(task["train"])],
        f"{calibration}.cal_cache_file": str(tmp_path / "cal.bin"),
        # What the file says already may be said again; each key of these sections is looked for.
        "model.input_width": spec["model.input_width"],
        "dataset.pixel_mean": [0.485, 0.456, 0.406],
    }
    run("gen_trt_engine", given, tmp_path / "engine", seen)
    # A GPU is chosen where there is one; this machine may have none.
    assert unread("gen_trt_engine", seen | {"gen_trt_engine.gpu_id"}) == []
