"""Reads files of weights without running code that hides in them."""

import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tao_skill.errors import CheckpointError, Problem

__all__ = ["HEADER", "UNSAFE_VARIABLE", "read_file", "tensors_in"]

# The entry of this project's checkpoints that says what the weights belong to.
HEADER = "tao_skill"

# PyTorch's own switch, which TAO's documentation tells users to set for their trusted checkpoints.
UNSAFE_VARIABLE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
# How the safe loader words what it refuses. What runs commands it never takes, whoever is trusted.
_BLOCKED = "unsupported"
_OBJECT = re.compile(r"(?:Unsupported global:|unsupported) GLOBAL (\S+)")
_ADVICE = "`weights_only`"
_TRUE = {"1", "y", "yes", "true"}


def read_file(path: str | Path, key: str) -> dict[str, Any]:
    """Return what a file of weights holds: plain data and tensors on the CPU.

    ``key`` is the spec key that named the file. Python objects are refused, unless the environment asks for them,
    which is answered with a warning.

    Raises:
        CheckpointError: no such file, not a file of weights, or one that pickles Python objects.
    """
    file = Path(path)
    if not file.is_file():
        expected = "a file of weights" + ("; this is a folder" if file.is_dir() else "; there is no such file")
        raise CheckpointError(f"{file} can't be read.", problems=[Problem(key, str(path), expected)])
    content = _safetensors(file, key) if file.suffix == ".safetensors" else _pickled(file, key)
    if not isinstance(content, Mapping):
        problem = Problem(key, str(path), f"names with tensors, not a {type(content).__name__}")
        raise CheckpointError(f"{file} holds no weights.", problems=[problem])
    return dict(content)


def _safetensors(file: Path, key: str) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except SafetensorError as error:
        raise _unreadable(file, key, error) from error


def _pickled(file: Path, key: str) -> Any:
    unsafe = os.environ.get(UNSAFE_VARIABLE, "").lower() in _TRUE
    if unsafe:
        warnings.warn(
            f"{UNSAFE_VARIABLE} is set: {file} may run any code while it loads; only for checkpoints of your own.",
            stacklevel=3,
        )
    try:
        with warnings.catch_warnings():
            # Said of damaged files as well, whose second byte is taken for a protocol; the error is clearer.
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            return torch.load(file, map_location="cpu", weights_only=not unsafe)
    except pickle.UnpicklingError as error:
        raise _refused(file, key, error) from error
    except (ModuleNotFoundError, AttributeError) as error:
        problem = Problem(key, str(file), f"the package that its objects come from: {error}")
        raise CheckpointError(f"{file} pickles objects that can't be rebuilt here.", problems=[problem]) from error
    except (RuntimeError, EOFError, ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise _unreadable(file, key, error) from error


def _refused(file: Path, key: str, error: Exception) -> CheckpointError:
    found = _OBJECT.search(str(error))
    if found is None:
        return _unreadable(file, key, error)
    name, is_blocked = found[1], found[0].startswith(_BLOCKED)
    return CheckpointError(
        f"{file} was refused: it holds the Python object {name}, and loading such objects can run any code.",
        problems=[Problem(key, str(file), "tensors and plain data only, as this project writes them")],
        next_step="leave this file alone: no program of weights needs that object"
        if is_blocked
        else f"if you trust where the file comes from: {UNSAFE_VARIABLE}=1 before the same command",
    )


def _unreadable(file: Path, key: str, error: Exception) -> CheckpointError:
    # What is no pickle ends in the first byte that means nothing to the loader.
    reason = "" if isinstance(error, KeyError) else " ".join(str(error).split())[:200]
    if _ADVICE in reason:  # to load it unsafely, which would not help
        reason = "it doesn't begin as PyTorch's files do"
    problem = Problem(key, str(file), "a whole .pth or .safetensors file")
    told = f": {reason}" if reason else ""
    return CheckpointError(f"{file} is damaged or no file of weights{told}.", problems=[problem])


def tensors_in(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of a file by name, wherever a training library put them."""
    for name in ("state_dict", "model_state_dict", "model", "net", "teacher"):
        inner = content.get(name)
        if isinstance(inner, Mapping) and any(isinstance(value, Tensor) for value in inner.values()):
            content = inner
            break
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
