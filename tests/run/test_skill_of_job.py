"""Whose skill a run is of that names a parent job and no skill."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tao_skill.bank.skill import DEFAULT_SKILL, Skill
from tao_skill.errors import JobError, SkillError
from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import JobStore
from tao_skill.run.request import RunRequest
from tao_skill.run.skill_of_job import skill_asked


def asked(tmp_path: Path, name: str, directory: Path | None, skill: str | None = None) -> Skill:
    store = JobStore(tmp_path / "results")
    where = str(directory) if directory else None
    store.create(JobRecord(job_id="parent", skill=name, skill_dir=where, action="train", results_dir=""))
    return skill_asked(RunRequest(action="evaluate", skill=skill, parent_job_id="parent"), store)


def test_a_parent_outside_of_the_bank_brings_its_skill(skill: Skill, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "other"
    shutil.copytree(skill.directory, other)
    assert asked(tmp_path, "other", other).directory == other


@pytest.mark.parametrize("name", [DEFAULT_SKILL, "a name that the bank doesn't know", "{folder}", ".."])
def test_the_bank_knows_its_own_by_name(skill: Skill, tmp_path: Path, name: str) -> None:
    other = tmp_path / "elsewhere" / "other"
    shutil.copytree(skill.directory, other)
    name = name.format(folder=other)  # of a record that somebody wrote
    assert asked(tmp_path, name, None).directory == skill.directory


def test_what_is_named_comes_first(skill: Skill, tmp_path: Path) -> None:
    assert asked(tmp_path, "other", tmp_path / "nowhere", skill=DEFAULT_SKILL).directory == skill.directory


@pytest.mark.usefixtures("skill")
def test_a_folder_that_is_not_here_is_told(tmp_path: Path) -> None:
    with pytest.raises(SkillError) as caught:
        asked(tmp_path, "other", tmp_path / "nowhere")
    assert "--skill" in caught.value.next_step
    with pytest.raises(JobError):
        skill_asked(RunRequest(action="evaluate", parent_job_id="none"), JobStore(tmp_path / "results"))
