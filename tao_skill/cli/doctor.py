"""`doctor`: what is installed here, what each missing part would enable, and what the machine has."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tao_skill.cli.outcome import Outcome
from tao_skill.errors import SkillError, StorageError
from tao_skill.installation import install_command

if TYPE_CHECKING:
    from tao_skill.run.doctor import Checkup

__all__ = ["add_to"]


def add_to(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "doctor",
        help="say what works here, what is missing, and how to get it",
        description="Say what is installed, what each missing part would enable, GPU, CUDA, disk, and which "
        "credentials are set (their names only).",
        parents=parents,
    )
    parser.set_defaults(call=_doctor)


def _doctor(_options: argparse.Namespace) -> Outcome:
    from tao_skill.run.doctor import examine

    found = examine()
    code = SkillError.exit_code if found.trouble else StorageError.exit_code
    return Outcome(found.model_dump(mode="json"), _text(found), 0 if found.ok else code)


def _text(found: Checkup) -> str:
    lines = [f"tao-skill {found.version}, Python {found.python}, in {found.package}"]
    lines.append(f"skills: {', '.join(found.skills) or 'none'}" + (f"  {found.trouble}" if found.trouble else ""))
    for part in found.parts:
        mark = "yes" if part.installed else "no "
        versions = ", ".join(f"{name} {version}" for name, version in part.packages.items() if version)
        lines.append(
            f"  {mark}  {part.extra:<9} {part.enables}{': ' + versions if part.installed and versions else ''}"
        )
        if not part.installed:
            lines.append(f"       missing {', '.join(part.missing)}: {install_command(part.extra)}")
    for gpu in found.machine.gpus:
        lines.append(f"GPU {gpu.index}: {gpu.name}, {gpu.memory_gb:.0f} GB")
    lines.append(
        f"device: {found.machine.device}; CUDA of the driver: {found.cuda or 'none'}; {found.machine.cpu_count} CPUs"
    )
    lines += [
        f"{place.what}: {place.path}, {_size(place.free_gb)} free{'' if place.writable else ', NOT writable'}"
        for place in found.places
    ]
    lines.append(f"credentials set: {', '.join(found.credentials) or 'none'}")
    lines += [f"note: {note}" for note in found.machine.notes]
    return "\n".join(lines)


def _size(gigabytes: float | None) -> str:
    return "unknown" if gigabytes is None else f"{gigabytes:.0f} GB"
