"""An ONNX file and the spec that it completes."""

from collections.abc import Mapping
from typing import Any

from tao_skill.config.keys import get_leaf
from tao_skill.config.leaves import leaves
from tao_skill.config.model import Model
from tao_skill.config.placeholder import is_given
from tao_skill.metric_learning.checkpoint_model import complete_spec
from tao_skill.metric_learning.engines.facts import ModelFacts
from tao_skill.metric_learning.engines.onnx_file import Interface, OnnxFile, foreign_facts, read_interface
from tao_skill.metric_learning.model.recogniser import ModelSettings

__all__ = ["read_onnx_for_spec"]


def read_onnx_for_spec(action: str, key: str, given: Mapping[str, Any]) -> tuple[OnnxFile, Any, list[str]]:
    """Return the ONNX file that ``key`` names, the checked spec completed from it, and the spec's warnings.

    A file that export didn't write has shapes; what it doesn't say, mean and deviation of its pixels, the spec says.

    Raises:
        SpecError, CheckpointError: with all problems; also where ``key`` names no file.
        NotAvailableError: the package onnx isn't installed.
    """
    path = get_leaf(given, key)
    if not is_given(path):
        complete_spec(action, given, {}, path)  # which tells what is missing, beside all else that is wrong
    interface = read_interface(path, key)
    read = {leaf.key for leaf in leaves(action)}
    known = interface.facts.settings() if interface.facts is not None else interface.shape()
    spec, warnings = complete_spec(action, given, {name: value for name, value in known.items() if name in read}, path)
    facts = interface.facts if interface.facts is not None else _facts_by_spec(interface, spec)
    return interface.with_facts(facts), spec, warnings


def _facts_by_spec(interface: Interface, spec: Any) -> ModelFacts:
    shape: dict[str, Any] = {name.removeprefix("model."): size for name, size in interface.shape().items()}
    trunk = {name: getattr(spec.model, name, getattr(Model(), name)) for name in ("backbone", "timm_name")}
    model = ModelSettings(**trunk, **shape)
    return foreign_facts(interface.path, model, spec.dataset.pixel_mean, spec.dataset.pixel_std)
