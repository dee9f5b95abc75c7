"""Searches over programs that know nothing of this project: their own checkpoints, and their own way to leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tao_skill.automl.history import SearchHistory
from tao_skill.jobs.record import JobStatus
from tao_skill.run.parent_job import find_parent
from tao_skill.run.request import RunRequest
from tao_skill.run.result import RunResult
from tao_skill.run.results_root import open_store
from tao_skill.run.runner import run
from tao_skill.run.search_files import load_history


def search(tmp_path: Path, skill_dir: Path, *overrides: str, **settings: Any) -> tuple[RunResult, SearchHistory]:
    defaults = {"automl_algorithm": "random", "automl_max_concurrent": 1}
    asked = RunRequest(
        action="train", skill=str(skill_dir), results_root=str(tmp_path / "results"), overrides=list(overrides),
        automl=[defaults | settings],
    )  # fmt: skip
    result = run(asked)
    assert result.status == JobStatus.COMPLETE
    return result, load_history(open_store(asked.results_root).load(result.job_id))


def change(skill_dir: Path, *changes: tuple[str, str]) -> None:
    script = skill_dir / "scripts" / "train.py"
    text = script.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    script.write_text(text)


CHECKPOINT = 'name = folder / f"model_epoch_{epoch:03d}.pth"'
OLD = 'folder.glob("model_epoch_*.pth")'
LIGHTNING = """logs = folder.parent / "lightning_logs" / "version_0" / "checkpoints"
    logs.mkdir(parents=True, exist_ok=True)
    name = logs / f"epoch={epoch}-step={10 * epoch}.ckpt\""""


@pytest.mark.parametrize(
    ("checkpoint", "pattern"),
    [
        (LIGHTNING, 'logs.glob("*.ckpt")'),
        ('name = folder / f"model_epoch_{epoch:03d}.pkl"', 'folder.glob("*.pkl")'),
        ('name = folder.parent / f"epoch_{epoch}.safetensors"', 'folder.parent.glob("*.safetensors")'),
    ],
    ids=["lightning", "pickle", "beside"],
)
def test_a_population_trains_on_from_other_programs_checkpoints_and_they_are_deleted(
    tmp_path: Path, skill_dir: Path, checkpoint: str, pattern: str
) -> None:
    change(skill_dir, (CHECKPOINT, checkpoint), (OLD, pattern))
    result, found = search(
        tmp_path, skill_dir, automl_algorithm="pbt", automl_population_size=2, automl_max_recommendations=8
    )
    for trial in found.trials:
        if trial.continues is None:
            continue
        lines = (tmp_path / "results" / trial.job_id / "train" / "status.json").read_text().splitlines()
        assert json.loads(lines[0])["epoch"] == found.trials[trial.continues].last_epoch  # not from zero
    assert found.largest_trial_bytes > 0
    assert found.disk_bound.endswith("GB")
    kept = [trial.number for trial in found.trials if trial.checkpoints_kept]
    left = {path.parts[len(tmp_path.parts) + 1] for path in (tmp_path / "results").rglob("*epoch*")}
    assert left == {found.trials[number].job_id for number in kept}
    assert len(kept) < len(found.trials)
    winner = find_parent(open_store(str(tmp_path / "results")), result.job_id, force=False)
    assert len(winner.candidates) == 1


@pytest.mark.parametrize("code", [0, 1])
def test_a_program_that_is_stopped_may_leave_as_it_likes(tmp_path: Path, skill_dir: Path, code: int) -> None:
    change(skill_dir, ("import yaml\n", f"import yaml\nsignal.signal(signal.SIGINT, lambda *_: sys.exit({code}))\n"))
    limits = {"automl_max_minutes": 0.1, "automl_max_recommendations": 50}
    _, found = search(tmp_path, skill_dir, "seconds=0.2", "fit.epochs=8", **limits)
    assert not [trial.failure for trial in found.trials if trial.failure]
    assert {trial.last_epoch for trial in found.trials if trial.state == "complete"} <= {8}
    assert [trial for trial in found.trials if trial.state == "stopped"]
