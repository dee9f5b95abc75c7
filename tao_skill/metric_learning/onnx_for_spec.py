"""An ONNX file and the spec that it completes."""

from collections.abc import Callable, Mapping
from typing import Any

from tao_skill.config.keys import flatten, get_leaf
from tao_skill.config.leaves import leaves
from tao_skill.config.placeholder import is_given
from tao_skill.config.schema import template
from tao_skill.metric_learning.checkpoint_model import complete_spec
from tao_skill.metric_learning.engines.onnx_file import OnnxFile, read_onnx

__all__ = ["read_onnx_for_spec"]

# A file that export didn't write has shapes, but says nothing of these.
_UNKNOWN_TO_FOREIGN = ("model.backbone", "model.timm_name", "dataset.pixel_mean", "dataset.pixel_std")


def read_onnx_for_spec(action: str, key: str, given: Mapping[str, Any]) -> tuple[OnnxFile, Any, list[str]]:
    """Return the ONNX file that ``key`` names, the checked spec completed from it, and the spec's warnings.

    Raises:
        SpecError, CheckpointError: with all problems; also where ``key`` names no file.
        NotAvailableError: the package onnx isn't installed.
    """
    path = get_leaf(given, key)
    if not is_given(path):
        complete_spec(action, given, {}, path)  # which tells what is missing, beside all else that is wrong
    file = read_onnx(path, key, _given_or_default(action, given))
    read = {leaf.key for leaf in leaves(action)}
    unknown = () if file.own else _UNKNOWN_TO_FOREIGN
    known = {name: value for name, value in file.facts.settings().items() if name in read and name not in unknown}
    spec, warnings = complete_spec(action, given, known, path)
    return file, spec, warnings


def _given_or_default(action: str, given: Mapping[str, Any]) -> Callable[[str], Any]:
    defaults = flatten(template(action))
    return lambda key: get_leaf(given, key, defaults.get(key, ""))
