"""Imports what only an extra of the package brings, and says which where it is missing."""

import importlib
import importlib.util
from typing import Any

from tao_skill.errors import NotAvailableError
from tao_skill.installation import install_command

__all__ = ["import_extra", "is_installed"]

_EXTRA_OF = {
    "onnx": "deploy",
    "google": "deploy",
    "onnxscript": "deploy",
    "onnxruntime": "deploy",
    "openvino": "openvino",
}


def is_installed(package: str) -> bool:
    """Tell whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


def import_extra(name: str, purpose: str) -> Any:
    """Return a module; ``purpose`` completes the sentence "… needs it".

    Raises:
        NotAvailableError: it isn't installed; the extra that brings it is named.
    """
    package = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        extra = _EXTRA_OF[package]
        raise NotAvailableError(
            f"The package {package} is not installed, or can't be loaded ({error}). {purpose} needs it.",
            next_step=install_command(extra),
        ) from error
