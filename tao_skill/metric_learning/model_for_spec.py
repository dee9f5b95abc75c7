"""The embedder that evaluation and inference use: a checkpoint, an ONNX file or an engine, as the spec says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tao_skill.config.keys import get_leaf
from tao_skill.config.placeholder import is_given
from tao_skill.metric_learning.checkpoint_model import complete_spec, load_model
from tao_skill.metric_learning.device import choose_device
from tao_skill.metric_learning.engines.embedder import Embedder
from tao_skill.metric_learning.engines.engine_file import read_engine
from tao_skill.metric_learning.engines.extras import is_installed
from tao_skill.metric_learning.engines.onnx_file import is_onnx
from tao_skill.metric_learning.engines.onnx_runtime import OnnxRuntimeEmbedder
from tao_skill.metric_learning.engines.open_vino import OpenVinoEmbedder
from tao_skill.metric_learning.engines.tensorrt_engine import TensorRTEmbedder
from tao_skill.metric_learning.engines.torch_network import TorchEmbedder
from tao_skill.metric_learning.onnx_for_spec import read_onnx_for_spec

__all__ = ["ReadyModel", "prepare"]


@dataclass(frozen=True)
class ReadyModel:
    """An embedder on its device, the checked spec it serves, and where its weights are from.

    ``unsaid`` holds, by spec key, what the spec says of the model because its file doesn't.
    """

    spec: Any
    embedder: Embedder
    source: str
    warnings: list[str]
    epoch: int | None
    unsaid: Mapping[str, Any] = field(default_factory=dict)


def prepare(action: str, given: Mapping[str, Any]) -> ReadyModel:
    """Check a spec, complete it from its model file, and make the embedder ready.

    ``given`` holds what is set; model.* and dataset.pixel_* that are left out come from the model file.

    Raises:
        SpecError, CheckpointError: with all problems.
        NotAvailableError: the engine that was asked for can't run here.
    """
    checkpoint, engine = (get_leaf(given, f"{action}.{name}") for name in ("checkpoint", "trt_engine"))
    if is_given(engine):
        return _from_engine(action, given, engine)
    if is_given(checkpoint) and is_onnx(checkpoint):
        return _from_onnx(action, given)
    return _from_torch(action, given)


def _from_torch(action: str, given: Mapping[str, Any]) -> ReadyModel:
    model = load_model(action, given)
    section = getattr(model.spec, action)
    assert section.engine in ("auto", "torch")  # a rule of the spec
    device = choose_device(section.num_gpus, section.gpu_ids, f"{action}.gpu_ids").torch_device
    embedder = TorchEmbedder(model.recogniser, model.facts, device, section.precision)
    return ReadyModel(model.spec, embedder, model.source, model.warnings, model.epoch)


def _from_onnx(action: str, given: Mapping[str, Any]) -> ReadyModel:
    key = f"{action}.checkpoint"
    file, spec, warnings = read_onnx_for_spec(action, key, given)
    section = getattr(spec, action)
    engine, precision = section.engine, section.precision
    if engine == "auto":
        engine = "openvino" if precision == "bf16" or is_installed("openvino") else "onnxruntime"
    embedder: Embedder = (
        OpenVinoEmbedder(file, precision, key) if engine == "openvino" else OnnxRuntimeEmbedder(file, key)
    )
    pixels = {"dataset.pixel_mean": list(file.facts.pixel_mean), "dataset.pixel_std": list(file.facts.pixel_std)}
    return ReadyModel(spec, embedder, str(file.path.resolve()), warnings, None, {} if file.own else pixels)


def _from_engine(action: str, given: Mapping[str, Any], path: str) -> ReadyModel:
    key = f"{action}.trt_engine"
    file = read_engine(path, key)
    spec, warnings = complete_spec(action, given, file.facts.settings(), path)
    section = getattr(spec, action)
    assert section.engine in ("auto", "tensorrt")  # a rule of the spec
    choose_device(section.num_gpus, section.gpu_ids, f"{action}.gpu_ids")  # refuses a GPU that isn't there
    embedder = TensorRTEmbedder(file, section.gpu_ids[0], key)
    return ReadyModel(spec, embedder, str(Path(path).resolve()), [*warnings, *embedder.warnings], None)
