"""Starting points that a user gives: what is wrong with them is told before anything is spent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tao_skill.errors import JobError, SpecError
from tao_skill.run.launch_search import resume_search
from tao_skill.run.make_plan import plan_run
from tao_skill.run.request import RunRequest
from tao_skill.run.results_root import open_store
from tao_skill.run.runner import run
from tao_skill.run.search_files import save_history
from tao_skill.run.search_history import load_history

POINTS = "automl_starting_points"


def request(tmp_path: Path, skill_dir: Path, **settings: Any) -> RunRequest:
    return RunRequest(
        action="train", skill=str(skill_dir), results_root=str(tmp_path / "results"),
        automl=[{"automl_max_recommendations": 3, "run_final_evaluation": False, **settings}],
    )  # fmt: skip


def wrong(tmp_path: Path, skill_dir: Path, **settings: Any) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        plan_run(request(tmp_path, skill_dir, **settings))
    return {problem.key: problem.expected for problem in caught.value.problems}


def test_points_that_break_a_rule_are_refused(tmp_path: Path, skill_dir: Path) -> None:
    names = ["fit.rate", "fit.group"]
    points = [{"fit.rate": 0.1}, {"fit.group": 3}]
    found = wrong(tmp_path, skill_dir, automl_hyperparameters=names, automl_starting_points=points)
    assert list(found) == [f"{POINTS}[1]: fit.batch"]
    assert "a multiple of fit.group = 3" in found[f"{POINTS}[1]: fit.batch"]


def test_wrong_ranges_and_wrong_points_are_told_at_once(tmp_path: Path, skill_dir: Path) -> None:
    ranges = {"fit.rate": {"valid_min": 7.0}}
    points = [{"fit.rate": 0.1, "fit.kind": "bad"}]
    found = wrong(tmp_path, skill_dir, custom_param_ranges=ranges, automl_starting_points=points)
    assert len(found) == 2
    assert found[f"{POINTS}[0]: fit.kind"] == "one of 'plain', 'good'"
    assert any("fit.rate" in key and POINTS not in key for key in found)


def test_a_search_that_does_not_try_them_says_so(tmp_path: Path, skill_dir: Path) -> None:
    given = {"automl_starting_points": [{"fit.rate": 0.1}]}
    plan = plan_run(request(tmp_path, skill_dir, automl_algorithm="random", **given))
    assert any(f"random doesn't try {POINTS}" in one for one in plan.warnings)
    plan = plan_run(request(tmp_path, skill_dir, **given))
    assert not any(POINTS in one for one in plan.warnings)


def test_they_are_trained_right_after_the_baseline(tmp_path: Path, skill_dir: Path) -> None:
    result = run(request(tmp_path, skill_dir, automl_starting_points=[{"fit.rate": 0.01, "fit.kind": "good"}]))
    history = load_history(open_store(str(tmp_path / "results")).load(result.job_id))
    assert [trial.origin for trial in history.trials] == ["baseline", "starting point", "search"]
    assert history.trials[1].values == {"fit.rate": 0.01, "fit.kind": "good"}
    assert result.search is not None
    assert result.search["best_trial"] == 1


def test_a_search_from_before_there_were_points_goes_on_without(tmp_path: Path, skill_dir: Path) -> None:
    fails = request(tmp_path, skill_dir, automl_max_recommendations=1)
    with pytest.raises(JobError, match="without a trial"):
        run(fails.model_copy(update={"overrides": ["fail=memory"]}))  # the baseline's rate does
    store = open_store(str(tmp_path / "results"))
    record = next(one for one in store.list() if one.parent_job is None)
    history = load_history(record)
    del history.settings[POINTS]
    save_history(tmp_path / "results" / record.job_id / "train", history)
    schema = skill_dir / "schemas" / "train.schema.json"
    schema.write_text(json.dumps(json.loads(schema.read_text()) | {POINTS: [{"fit.rate": 0.01}]}))
    resume_search(store, record.job_id, {"max_recommendations": 4})
    trials = load_history(store.load(record.job_id)).trials
    assert [trial.origin for trial in trials] == ["baseline", "search", "search", "search"]
