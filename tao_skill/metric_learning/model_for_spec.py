"""The embedder that evaluation and inference use: a checkpoint, an ONNX file or an engine, as the spec says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tao_skill.config.keys import flatten, get_leaf
from tao_skill.config.placeholder import is_given
from tao_skill.config.schema import template
from tao_skill.metric_learning.checkpoint_model import complete_spec, load_model
from tao_skill.metric_learning.device import choose_device
from tao_skill.metric_learning.engines.embedder import Embedder
from tao_skill.metric_learning.engines.extras import is_installed
from tao_skill.metric_learning.engines.onnx_file import is_onnx, read_onnx
from tao_skill.metric_learning.engines.onnx_runtime import OnnxRuntimeEmbedder
from tao_skill.metric_learning.engines.open_vino import OpenVinoEmbedder
from tao_skill.metric_learning.engines.torch_network import TorchEmbedder

__all__ = ["ReadyModel", "prepare"]


@dataclass(frozen=True)
class ReadyModel:
    """An embedder on its device, the checked spec it serves, and where its weights are from."""

    spec: Any
    embedder: Embedder
    source: str
    warnings: list[str]
    epoch: int | None


def prepare(action: str, given: Mapping[str, Any]) -> ReadyModel:
    """Check a spec, complete it from its model file, and make the embedder ready.

    ``given`` holds what is set; model.* and dataset.pixel_* that are left out come from the model file.

    Raises:
        SpecError, CheckpointError: with all problems.
        NotAvailableError: the engine that was asked for can't run here.
    """
    checkpoint = get_leaf(given, f"{action}.checkpoint")
    if is_given(checkpoint) and is_onnx(checkpoint):
        return _from_onnx(action, given, checkpoint)
    return _from_torch(action, given)


def _from_torch(action: str, given: Mapping[str, Any]) -> ReadyModel:
    model = load_model(action, given)
    section = getattr(model.spec, action)
    device = choose_device(section.num_gpus, section.gpu_ids, f"{action}.gpu_ids").torch_device
    embedder = TorchEmbedder(model.recogniser, model.facts, device, section.precision)
    return ReadyModel(model.spec, embedder, model.source, model.warnings, model.epoch)


def _from_onnx(action: str, given: Mapping[str, Any], path: str) -> ReadyModel:
    key = f"{action}.checkpoint"
    file = read_onnx(path, key, _given_or_default(action, given))
    known = file.facts.settings()
    if not file.own:
        known = {name: value for name, value in known.items() if name not in _UNKNOWN_TO_FOREIGN}
    spec, warnings = complete_spec(action, given, known, path)
    section = getattr(spec, action)
    engine, precision = section.engine, section.precision
    if engine == "auto":
        engine = "openvino" if precision == "bf16" or is_installed("openvino") else "onnxruntime"
    embedder: Embedder = (
        OpenVinoEmbedder(file, precision, key) if engine == "openvino" else OnnxRuntimeEmbedder(file, key)
    )
    return ReadyModel(spec, embedder, str(Path(path).resolve()), warnings, None)


# A file that export didn't write has shapes, but says nothing of these.
_UNKNOWN_TO_FOREIGN = ("model.backbone", "model.timm_name", "dataset.pixel_mean", "dataset.pixel_std")


def _given_or_default(action: str, given: Mapping[str, Any]) -> Callable[[str], Any]:
    defaults = flatten(template(action))
    return lambda key: get_leaf(given, key, defaults[key])
