"""What is compared: one file of a model in one engine and precision."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from tao_skill.metric_learning.checkpoint_model import load_model
from tao_skill.metric_learning.engines.embedder import Embedder
from tao_skill.metric_learning.engines.engine_file import read_engine
from tao_skill.metric_learning.engines.extras import is_installed
from tao_skill.metric_learning.engines.onnx_file import read_onnx
from tao_skill.metric_learning.engines.onnx_runtime import OnnxRuntimeEmbedder
from tao_skill.metric_learning.engines.open_vino import OpenVinoEmbedder
from tao_skill.metric_learning.engines.tensorrt_engine import TensorRTEmbedder
from tao_skill.metric_learning.engines.torch_network import TorchEmbedder

__all__ = ["Contender", "contenders", "open_contender"]

EngineName = Literal["torch", "onnxruntime", "openvino", "tensorrt"]


@dataclass(frozen=True)
class Contender:
    """A file and what computes it; ``precision`` is that of the float layers, ``label`` what people call it."""

    label: str
    engine: EngineName
    path: str
    precision: Literal["fp32", "bf16"] = "fp32"


def contenders(files: Mapping[str, str]) -> tuple[list[Contender], dict[str, str]]:
    """Return what can run here, and for the rest the reason why it can't, by label.

    ``files`` holds paths by kind: checkpoint, which must be there, onnx, int8 and engine.
    """
    wanted = [
        (Contender("torch FP32", "torch", files["checkpoint"]), "torch"),
        (Contender("torch BF16", "torch", files["checkpoint"], "bf16"), "torch"),
    ]
    for kind, name in (("onnx", "FP32"), ("int8", "INT8")):
        if kind in files:
            wanted.append((Contender(f"ONNX Runtime {name}", "onnxruntime", files[kind]), "onnxruntime"))
            wanted.append((Contender(f"OpenVINO {name}", "openvino", files[kind]), "openvino"))
    if "onnx" in files:
        wanted.append((Contender("OpenVINO BF16", "openvino", files["onnx"], "bf16"), "openvino"))
    able = [contender for contender, package in wanted if is_installed(package)]
    skipped = {one.label: f"{package} is not installed" for one, package in wanted if not is_installed(package)}
    if "engine" in files:
        engine = Contender("TensorRT", "tensorrt", files["engine"])
        if torch.cuda.is_available():
            able.append(engine)
        else:
            skipped[engine.label] = "this machine has no NVIDIA GPU"
    if "onnx" in files and "int8" not in files:
        skipped["INT8 on CPUs"] = "the export wrote no INT8 file: export.int8.enabled=true"
    return able, skipped


def open_contender(contender: Contender) -> Embedder:
    """Load a contender; torch on the CPU, whatever else the machine has, so that engines of one kind are compared.

    Raises:
        TaoSkillError: it can't be loaded.
    """
    key = contender.path
    if contender.engine == "torch":
        given: dict[str, Any] = {"export": {"checkpoint": contender.path}}
        model = load_model("export", given)
        return TorchEmbedder(model.recogniser, model.facts, torch.device("cpu"), contender.precision)
    if contender.engine == "tensorrt":
        return TensorRTEmbedder(read_engine(contender.path, key), 0, key)
    file = read_onnx(contender.path, key)
    if contender.engine == "openvino":
        return OpenVinoEmbedder(file, contender.precision, key)
    return OnnxRuntimeEmbedder(file, key)
