"""The skill that a job belongs to: named by its record, in the bank or in a folder of its own."""

from __future__ import annotations

from pathlib import Path

from tao_skill.bank.location import bank_root
from tao_skill.bank.skill import Skill, find_skill
from tao_skill.jobs.record import JobRecord

__all__ = ["folder_outside", "skill_of"]


def skill_of(record: JobRecord) -> Skill:
    """Return a job's skill.

    Raises:
        SkillError: it is not there any more, or its files are missing or malformed.
    """
    return find_skill(record.skill_dir or record.skill or None)


def folder_outside(name: str, directory: str | Path) -> str | None:
    """Return the folder of a skill that the bank doesn't know under its name; None where the name is enough.

    The bank may lie elsewhere by the time a job goes on: its skills are known by name alone.
    """
    return None if Path(directory) == bank_root() / "skills" / name else str(directory)
