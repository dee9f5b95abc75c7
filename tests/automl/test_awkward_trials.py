"""Trials that leave what can't be read, that ended when nobody looked, or that can't go on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tao_skill.errors import SpecError
from tao_skill.jobs.record import JobStatus
from tao_skill.run.launch_search import resume_search
from tao_skill.run.request import RunRequest
from tao_skill.run.result import RunResult
from tao_skill.run.results_root import open_store
from tao_skill.run.runner import run
from tao_skill.run.search_history import load_history

BREAKS_ITS_RECORD = """
if fit["rate"] > 0.1:  # the baseline's
    (folder / "checkpoints.json").write_text("{")
"""
SUCCESS = '{"status": "SUCCESS", "epoch": 3, "kpi": {"score": 0.5}}\n'


def search(tmp_path: Path, skill_dir: Path, *overrides: str, **settings: Any) -> RunResult:
    defaults = {"automl_algorithm": "random", "automl_max_recommendations": 3, "automl_max_concurrent": 1}
    asked = RunRequest(
        action="train", skill=str(skill_dir), results_root=str(tmp_path / "results"), overrides=list(overrides),
        automl=[defaults | settings],
    )  # fmt: skip
    return run(asked)


def history(tmp_path: Path, result: RunResult) -> Any:
    return load_history(open_store(str(tmp_path / "results")).load(result.job_id))


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_record_of_checkpoints_that_cannot_be_read_costs_that_trial_alone(tmp_path: Path, skill_dir: Path) -> None:
    script = skill_dir / "scripts" / "train.py"
    script.write_text(script.read_text() + BREAKS_ITS_RECORD)
    result = search(tmp_path, skill_dir)
    found = history(tmp_path, result)
    assert result.status == JobStatus.COMPLETE
    broken = [trial for trial in found.trials if trial.values["fit.rate"] > 0.1]
    assert broken[0].number == 0
    assert {(trial.state, trial.failure.kind) for trial in broken} == {("failed", "configuration")}
    assert "record of checkpoints can't be read" in broken[0].failure.message


def test_a_trial_that_cannot_be_started_costs_that_trial_alone(tmp_path: Path, skill_dir: Path) -> None:
    result = search(tmp_path, skill_dir, automl_max_recommendations=2, automl_delete_intermediate_ckpt=False)
    job, folder = killed(tmp_path, result, trial=1)
    (folder / "checkpoints.json").write_text("{")
    store = open_store(str(tmp_path / "results"))
    assert resume_search(store, job).status == JobStatus.COMPLETE
    first, second = history(tmp_path, result).trials
    assert first.state == "complete"
    assert (second.state, second.failure.kind) == ("failed", "configuration")


def test_a_trial_that_ended_well_when_nobody_was_left_to_see_it_is_taken_as_it_is(
    tmp_path: Path, skill_dir: Path
) -> None:
    result = search(tmp_path, skill_dir, automl_max_recommendations=2)
    job, folder = killed(tmp_path, result, trial=1)
    with (folder / "status.json").open("a") as file:
        file.write(SUCCESS)
    lines = (folder / "status.json").read_text()
    store = open_store(str(tmp_path / "results"))
    assert resume_search(store, job).status == JobStatus.COMPLETE
    assert history(tmp_path, result).trials[1].state == "complete"
    assert store.load(f"{job}-t001").status == JobStatus.COMPLETE
    assert (folder / "results.json").is_file()
    assert (folder / "status.json").read_text() == lines  # nothing was trained again


def killed(tmp_path: Path, result: RunResult, trial: int) -> tuple[str, Path]:
    """Make of a search that ended one that was killed while a trial ran; return its job, and the trial's folder."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    root, job = tmp_path / "results", result.job_id
    file = root / job / "train" / "search_history.json"
    trials = json.loads(file.read_text())["trials"]
    trials[trial] |= {"state": "running", "best_value": None, "best_epoch": None, "reports": []}
    change(file, trials=trials, state="running", end_reason="", winner=None)
    change(root / f"{job}-t{trial:03d}" / "job.json", status="RUNNING", runner_pid=gone.pid, pid=gone.pid)
    change(root / job / "job.json", status="ERROR")
    return job, root / f"{job}-t{trial:03d}" / "train"


def test_a_skill_whose_trainings_cannot_go_on_has_no_population(tmp_path: Path, skill_dir: Path) -> None:
    text = (skill_dir / "SKILL.md").read_text().splitlines(keepends=True)
    (skill_dir / "SKILL.md").write_text("".join(line for line in text if "resume" not in line))
    with pytest.raises(SpecError, match="train on from checkpoints"):
        search(tmp_path, skill_dir, automl_algorithm="pbt")
    assert search(tmp_path, skill_dir).status == JobStatus.COMPLETE
