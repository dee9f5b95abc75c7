"""Look at this installation: its parts, its places, and which credentials are set."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel, Field

import tao_skill
from tao_skill.bank.skill import list_summaries
from tao_skill.config.cache_folder import cache_place
from tao_skill.config.folders import nearest_existing
from tao_skill.errors import TaoSkillError
from tao_skill.run.preflight import Preflight, look_around
from tao_skill.run.results_root import default_results_root
from tao_skill.storage.locate import is_remote, local_path

__all__ = ["Checkup", "examine"]

DISTRIBUTION = "tao-skill"
_ENABLES = {
    "train": "training, evaluation and inference",
    "s3": "data and results on S3 servers",
    "automl": "searching hyperparameters (automl_policy on)",
    "ray": "searching on several machines",
    "deploy": "ONNX export and ONNX Runtime",
    "openvino": "OpenVINO",
    "tensorrt": "TensorRT engines",
    "tensorrt-rtx": "engines of TensorRT for RTX",
    "gallery": "indexes for large galleries, embeddings as Parquet",
    "tracking": "Weights & Biases",
    "mcp": "serving the tools to MCP clients",
}
# Names of credentials that some part reads; their values are looked at by nobody here.
_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL",
    "ACCESS_KEY", "SECRET_KEY", "AUTOML_LLM_API_KEY", "HF_TOKEN", "TAO_SKILL_MCP_TOKEN", "WANDB_API_KEY",
)  # fmt: skip
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+).*extra\s*==\s*['\"]([\w-]+)['\"]")
_CUDA = re.compile(r"CUDA Version:\s*([\d.]+)")


class Part(BaseModel):
    """One optional part of the installation."""

    extra: str = Field(description="Name to install it by.")
    enables: str = Field(description="What it is for.")
    installed: bool = Field(description="Whether all of its packages are there.")
    packages: dict[str, str | None] = Field(description="Version of each package; null where it is missing.")
    missing: list[str] = Field(description="Packages that are missing.")


class Place(BaseModel):
    """A folder that runs write to."""

    what: str = Field(description="What it is for.")
    path: str = Field(description="Where it is, or would be made.")
    writable: bool = Field(description="Whether it can be written.")
    free_gb: float | None = Field(description="Free space, in GB.")


class Checkup(BaseModel):
    """Everything that was found."""

    ok: bool = Field(description="Whether skills are found and the places can be written.")
    version: str = Field(description="Version of tao-skill.")
    python: str = Field(description="Version of Python.")
    package: str = Field(description="Folder of the package.")
    skills: list[str] = Field(description="Skills of the bank.")
    trouble: str = Field(description="Why the skills can't be read; empty where they can.")
    parts: list[Part] = Field(description="Optional parts.")
    places: list[Place] = Field(description="Folders that runs write to.")
    machine: Preflight = Field(description="GPUs, memory, processors.")
    cuda: str = Field(description="Newest CUDA that the driver serves; empty without a driver.")
    credentials: list[str] = Field(description="Names of the credentials that are set.")


def examine() -> Checkup:
    """Return what was found; loads none of the parts."""
    skills, trouble = _skills()
    places = _places()
    return Checkup(
        ok=not trouble and all(place.writable for place in places),
        version=tao_skill.__version__,
        python=platform.python_version(),
        package=str(Path(tao_skill.__path__[0])),
        skills=skills,
        trouble=trouble,
        parts=_parts(),
        places=places,
        machine=look_around(Path.cwd(), 1),
        cuda=_cuda(),
        credentials=[name for name in _CREDENTIALS if os.environ.get(name)],
    )


def _skills() -> tuple[list[str], str]:
    try:
        return [one.name for one in list_summaries()], ""
    except TaoSkillError as error:
        return [], error.message


def _parts() -> list[Part]:
    """Read what each extra needs from the installed distribution, so that only pyproject says it."""
    try:
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    needed: dict[str, list[str]] = {}
    for line in required:
        if (match := _REQUIREMENT.match(line)) and match[2] in _ENABLES:
            needed.setdefault(match[2], []).append(match[1])
    return [_part(extra, names) for extra, names in needed.items()]


def _part(extra: str, names: list[str]) -> Part:
    packages = {name: _version(name) for name in names}
    missing = [name for name, version in packages.items() if version is None]
    return Part(extra=extra, enables=_ENABLES[extra], installed=not missing, packages=packages, missing=missing)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _places() -> list[Place]:
    places = []
    root = default_results_root()
    if not is_remote(root):
        places.append(_place("results", local_path(root)))
    return [*places, _place("cache", cache_place())]


def _place(what: str, path: Path) -> Place:
    there = nearest_existing(path)
    try:
        free = round(shutil.disk_usage(there).free / 1e9, 1)
    except OSError:
        free = None
    return Place(what=what, path=str(path), writable=there.is_dir() and os.access(there, os.W_OK), free_gb=free)


def _cuda() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        said = subprocess.run([program], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    found = _CUDA.search(said)
    return found[1] if found else ""
