"""Say on what was measured, and what."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

from tao_skill.processors import usable_processors

__all__ = ["commit", "describe"]

_PACKAGES = ("torch", "torchvision", "pytorch-lightning", "timm", "opencv-python-headless", "pillow", "simplejpeg")
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


def describe(threads: int) -> str:
    """Return a sentence on the processors, a GPU where one is used, the threads and the packages."""
    model, flags = platform.processor() or platform.machine(), ""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        fields = dict(line.split(":", 1) for line in info.read_text().split("\n\n")[0].splitlines() if ":" in line)
        values = {name.strip(): value.strip() for name, value in fields.items()}
        model = values.get("model name", model)
        flags = " ".join(flag for flag in _FLAGS if flag in values.get("flags", "").split())
    gpu = f" with {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"Machine: {usable_processors()} × {model} ({flags}){gpu}, {platform.system()} {platform.machine()}, "
        f"{threads} threads of PyTorch on each side, Python {platform.python_version()}, {packages}."
    )


def commit() -> str:
    """Return the commit of this code, with "-dirty" where something is changed since; "unknown" outside of git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return answer.stdout.strip()
