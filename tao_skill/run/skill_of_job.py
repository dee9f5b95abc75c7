"""The skill that a job belongs to: named by its record, in the bank or in a folder of its own."""

from __future__ import annotations

from pathlib import Path

from tao_skill.bank.location import bank_root, skill_directories
from tao_skill.bank.skill import Skill, find_skill
from tao_skill.errors import Problem, SkillError
from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import JobStore
from tao_skill.run.parent_job import find_job
from tao_skill.run.request import RunRequest

__all__ = ["folder_outside", "skill_asked", "skill_of"]


def skill_asked(request: RunRequest, store: JobStore) -> Skill:
    """Return the skill that a request names, or else that of its parent job, or else the recognition skill.

    Raises:
        JobError: there is no such parent job.
        SkillError: the skill is not there, or its files are missing or malformed.
    """
    if request.skill is not None or request.parent_job_id is None:
        return find_skill(request.skill)
    _, parent = find_job(store, request.parent_job_id)
    if parent.skill_dir is None:
        # A record may come from anywhere: a name is no path.
        known = parent.skill in {directory.name for directory in skill_directories()}
        return find_skill(parent.skill if known else None)
    if not Path(parent.skill_dir).is_dir():
        raise SkillError(
            f"Job {parent.job_id} belongs to the skill {parent.skill}, whose folder is not here.",
            problems=[Problem("--skill", parent.skill_dir, "the folder of that skill on this machine")],
            next_step=f"add --skill with the folder of {parent.skill}",
        )
    return find_skill(parent.skill_dir)


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
