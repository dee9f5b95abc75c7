"""Report what this machine has, before anything is launched; only reads, and never stops a run."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, Field

from tao_skill.memory import free_memory_gb, usable_memory_gb
from tao_skill.processors import usable_processors

__all__ = [
    "MINIMUM_GPUS",
    "RECOMMENDED_GPUS",
    "VISIBLE",
    "VRAM_GB",
    "Gpu",
    "Preflight",
    "look_around",
    "read_gpus",
    "visible_gpus",
]

# Names the GPUs that a process may use.
VISIBLE = "CUDA_VISIBLE_DEVICES"

# What the skill's text asks for.
MINIMUM_GPUS = 1
RECOMMENDED_GPUS = 2
VRAM_GB = 16
_LOW_DISK_GB = 5.0
# A card sold with 16 GB reports a little less.
_TOLERANCE = 0.95
_QUERY = ["--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits"]


class Gpu(BaseModel):
    """One NVIDIA GPU."""

    index: int
    name: str
    memory_gb: float


class Preflight(BaseModel):
    """What the machine has, beside what the skill asks for."""

    device: str = Field(description="cuda or cpu: where the action will run.")
    gpus: list[Gpu] = Field(description="GPUs of this machine.")
    minimum_gpus: int = Field(default=MINIMUM_GPUS, description="What the skill asks for at least.")
    recommended_gpus: int = Field(default=RECOMMENDED_GPUS, description="What the skill recommends.")
    vram_gb_per_gpu: int = Field(default=VRAM_GB, description="GPU memory that the skill asks for, in GB.")
    memory_gb: float | None = Field(description="Main memory that this process may take, in GB.")
    memory_free_gb: float | None = Field(description="Main memory that this process may still take, in GB.")
    disk_free_gb: float | None = Field(description="Free space where the results go, in GB.")
    cpu_count: int = Field(description="Processors that this process may use.")
    notes: list[str] = Field(description="What a user should know before the launch.")


def look_around(results_root: Path, wanted_gpus: int, *, training: bool = True) -> Preflight:
    """Return the report; what the skill asks for is no note where nothing is trained."""
    gpus = read_gpus()
    usable = visible_gpus(gpus)
    disk = _disk_free(results_root)
    notes = _gpu_notes(gpus, usable, wanted_gpus) if training else []
    if disk is not None and disk < _LOW_DISK_GB:
        notes.append(f"Only {disk:.1f} GB are free for results at {results_root}; checkpoints take up to 0.3 GB each.")
    return Preflight(
        device="cuda" if usable else "cpu",
        gpus=gpus,
        memory_gb=usable_memory_gb(),
        memory_free_gb=free_memory_gb(),
        disk_free_gb=disk,
        cpu_count=usable_processors(),
        notes=notes,
    )


def read_gpus() -> list[Gpu]:
    """Ask nvidia-smi, so that no deep-learning library is loaded; an empty list where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    import subprocess

    try:
        answer = subprocess.run([program, *_QUERY], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_gpus(answer)


def visible_gpus(gpus: Sequence[Gpu], environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return those of a machine's GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them.

    Without that variable they are all; in it, what comes behind a name that is none does not count, as in CUDA.
    """
    numbers = [str(gpu.index) for gpu in gpus]
    allowed = environment.get(VISIBLE)
    if allowed is None or not numbers:
        return numbers
    names = (name.strip() for name in allowed.split(","))
    return list(itertools.takewhile(lambda name: name in numbers or name.startswith(("GPU-", "MIG-")), names))


def parse_gpus(answer: str) -> list[Gpu]:
    """Read the table of nvidia-smi: index, name, memory in MiB; lines of another form are passed over."""
    gpus: list[Gpu] = []
    for line in answer.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) >= 3 and parts[0].isdigit():
            memory = float(parts[-1]) * 2**20 / 1e9 if parts[-1].replace(".", "", 1).isdigit() else 0.0
            gpus.append(Gpu(index=int(parts[0]), name=", ".join(parts[1:-1]), memory_gb=round(memory, 1)))
    return gpus


def _gpu_notes(gpus: list[Gpu], usable: list[str], wanted: int) -> list[str]:
    asked = f"the skill asks for at least {MINIMUM_GPUS} GPU, recommends {RECOMMENDED_GPUS}, with {VRAM_GB} GB each"
    if not gpus:
        return [f"No GPU was found, so this runs on the CPU, which is slow: {asked}."]
    if not usable:
        return [f"{VISIBLE} hides the GPUs of this machine, so this runs on the CPU, which is slow: {asked}."]
    there = f"this machine has {len(gpus)}" if len(usable) == len(gpus) else f"{VISIBLE} leaves {len(usable)}"
    notes = []
    if wanted > len(usable):
        notes.append(f"{wanted} GPUs are asked for, but {there}.")
    if len(usable) < RECOMMENDED_GPUS:
        notes.append(f"{there[0].upper()}{there[1:]} GPU: {asked}.")
    # Names of another kind than numbers don't tell which ones they are.
    seen = [gpu for gpu in gpus if str(gpu.index) in usable] or gpus
    small = [gpu for gpu in seen if 0 < gpu.memory_gb < VRAM_GB * _TOLERANCE]
    notes += [f"GPU {gpu.index} ({gpu.name}) has {gpu.memory_gb:.0f} GB of memory: {asked}." for gpu in small]
    return notes


def _disk_free(folder: Path) -> float | None:
    """Return the free space in GB where ``folder`` is, or will be."""
    for place in (folder, *folder.parents):
        if place.is_dir():
            try:
                return round(shutil.disk_usage(place).free / 1e9, 1)
            except OSError:
                return None
    return None
