"""What is remembered of an engine, and what of it is told where it runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tao_skill.errors import CheckpointError
from tao_skill.metric_learning.engines.engine_file import EngineFile, facts_path, read_engine, write_engine
from tao_skill.metric_learning.engines.facts import ModelFacts
from tao_skill.metric_learning.engines.tensorrt_calls import Gpu
from tao_skill.metric_learning.model.recogniser import ModelSettings

SETTINGS = ModelSettings("resnet_50", "resnet10t", 48, 32, 3, 16)
FACTS = ModelFacts(SETTINGS, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), "abc")
SMALL, LARGE = Gpu("NVIDIA L4", "8.9"), Gpu("NVIDIA H200", "9.0")


@pytest.fixture
def engine(tmp_path: Path) -> EngineFile:
    """Return an engine of plain TensorRT, as it is read again."""
    written = EngineFile(tmp_path / "model.engine", FACTS, "tensorrt", "10.13.2", 1, 4, gpu=SMALL)
    write_engine(written, b"plan", {"best_batch": 2})
    found = read_engine(written.path, "evaluate.trt_engine")
    assert replace(found, digest="") == written
    assert found.plan("evaluate.trt_engine") == b"plan"
    return found


def test_another_gpu_and_another_version_are_told(engine: EngineFile) -> None:
    assert engine.differences("10.13.2", SMALL) == []
    (version,) = engine.differences("11.0.0", SMALL)
    assert "by tensorrt 10.13.2, and this is 11.0.0" in version
    (gpu,) = engine.differences("10.13.2", LARGE)
    assert "on NVIDIA L4 (compute capability 8.9), and this is NVIDIA H200 (compute capability 9.0)" in gpu
    assert len(engine.differences("11.0.0", LARGE)) == 2
    assert engine.differences("10.13.2", None) == []


def test_an_engine_without_a_gpu_of_its_own_runs_on_any(engine: EngineFile) -> None:
    document = json.loads(facts_path(engine.path).read_text())
    for content in (document | {"gpu": None}, {key: value for key, value in document.items() if key != "gpu"}):
        facts_path(engine.path).write_text(json.dumps(content))
        assert read_engine(engine.path, "evaluate.trt_engine").differences("10.13.2", LARGE) == []
    facts_path(engine.path).write_text(json.dumps(document | {"gpu": {"name": "x"}}))
    with pytest.raises(CheckpointError, match="damaged"):
        read_engine(engine.path, "evaluate.trt_engine")
