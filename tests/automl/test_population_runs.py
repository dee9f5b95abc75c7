"""Populations, with real worker processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tao_skill.run.request import RunRequest
from tao_skill.run.results_root import open_store
from tao_skill.run.runner import run
from tao_skill.run.search_history import load_history


def searched(tmp_path: Path, skill_dir: Path, **settings: Any) -> Any:
    """Return the history of a population's search."""
    defaults = {"automl_algorithm": "pbt", "automl_population_size": 3, "automl_max_concurrent": 1}
    result = run(
        RunRequest(
            action="train", skill=str(skill_dir), results_root=str(tmp_path / "results"), overrides=["seconds=0.05"],
            automl=[defaults | settings],
        )
    )  # fmt: skip
    return load_history(open_store(str(tmp_path / "results")).load(result.job_id))


@pytest.mark.parametrize("slots", [1, 2])
def test_a_population_trains_on_from_checkpoints(tmp_path: Path, skill_dir: Path, slots: int) -> None:
    found = searched(tmp_path, skill_dir, automl_max_recommendations=12, automl_max_concurrent=slots)
    newest: dict[str, int] = {}
    for trial in found.trials:
        member = str(trial.number) if trial.continues is None else trial.origin.split()[1].rstrip(":")
        newest[member] = max(newest.get(member, 0), trial.last_epoch)
    assert newest == {"0": 4, "1": 4, "2": 4}  # all are trained to the end, copied or not
    later = [trial for trial in found.trials if trial.continues is not None]
    assert later
    for trial in later:
        first = json.loads((tmp_path / "results" / trial.job_id / "train" / "status.json").read_text().splitlines()[0])
        assert first["epoch"] == found.trials[trial.continues].last_epoch  # not from zero


def test_the_best_of_a_population_is_trained_to_the_end(tmp_path: Path, skill_dir: Path) -> None:
    found = searched(tmp_path, skill_dir, automl_max_recommendations=4, automl_keep_trials=1)
    assert found.winner == 4  # one generation more
    assert found.trials[4].origin.endswith("is the best, and goes on")
    assert found.trials[4].values == found.trials[found.trials[4].continues or 0].values
    assert (found.trials[4].epochs, found.trials[4].last_epoch) == (4, 4)
