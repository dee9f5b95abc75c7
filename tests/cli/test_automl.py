"""The verbs of `automl`, as a shell sees them."""

import importlib.util
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
_SPEC = importlib.util.spec_from_file_location("tiny_skill", ROOT / "tests" / "automl" / "conftest.py")
assert _SPEC is not None
assert _SPEC.loader is not None
tiny_skill = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tiny_skill)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_skill.make_skill(tmp_path / "tiny-skill")
    return tmp_path


def tao_skill(folder: Path, *words: str) -> tuple[int, Any]:
    command = [sys.executable, "-m", "tao_skill", *words, "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    return done.returncode, json.loads(done.stdout)


FEW = ["--automl", "automl_algorithm=random", "automl_max_recommendations=3"]


def test_run_status_and_report(folder: Path) -> None:
    code, made = tao_skill(folder, "automl", "run", "--skill-dir", "./tiny-skill", *FEW)
    assert code == 0
    job = made["job_id"]
    code, status = tao_skill(folder, "automl", "status", job)
    assert (code, status["trials"], status["status"]) == (0, 3, "COMPLETE")
    code, report = tao_skill(folder, "automl", "report", job)
    assert len(report["history"]["trials"]) == 3
    assert report["baseline"] == made["search"]["baseline"]
    code, error = tao_skill(folder, "automl", "stop", job)
    assert (code, error["error"]["code"]) == (9, "job_error")
    code, error = tao_skill(folder, "automl", "status", made["search"]["best_child"])
    assert (code, "no AutoML search" in error["error"]["message"]) == (9, True)


def test_a_trial_is_looked_at_with_the_skill_of_its_search(folder: Path) -> None:
    _, made = tao_skill(folder, "automl", "run", "--skill", "./tiny-skill", *FEW)
    code, plan = tao_skill(folder, "run", "train", "--parent-job-id", made["job_id"], "--dry-run", "--yes")
    assert (code, plan["skill_dir"]) == (0, str(folder / "tiny-skill"))


def test_a_review_that_is_dry_trains_nothing(folder: Path) -> None:
    code, found = tao_skill(folder, "automl", "review", "--skill", "./tiny-skill", "--dry-run")
    assert (code, found["measured"]) == (0, {"state": "skipped"})


def test_settings_in_the_wrong_place_are_told_where_they_belong(folder: Path) -> None:
    code, told = tao_skill(folder, "automl", "resume", "JOB", "automl_max_minutes=120")
    assert code != 0
    assert told["error"]["next_step"].startswith("the same with --automl automl_max_minutes=120: ")
    for setting in ("num_epochs=3", "automl_policy=off"):
        _, told = tao_skill(folder, "run", "train", setting)
        assert told["error"]["next_step"] == f"python -m tao_skill run ACTION --overrides {setting}"
    policy = ["--automl", "automl_policy=off"]
    _, told = tao_skill(folder, "automl", "run", "--skill", "./tiny-skill", "--dry-run", *policy)
    assert "--automl-policy on or off" in told["error"]["problems"][0]["expected"]


def test_an_address_of_a_cluster_that_is_not_asked_for_is_told(folder: Path) -> None:
    words = ["automl", "run", "--skill", "./tiny-skill", "--dry-run", "--ray-address", "head:6379"]
    _, plan = tao_skill(folder, *words)
    assert any("automl_ray_address does nothing without --platform ray" in one for one in plan["warnings"])


def test_a_folder_here_may_be_named_without_a_slash(folder: Path) -> None:
    code, plan = tao_skill(folder, "automl", "run", "--skill", "tiny-skill", "--dry-run")
    assert (code, plan["skill_dir"]) == (0, str(folder / "tiny-skill"))
    (folder / "empty").mkdir()
    code, error = tao_skill(folder, "run", "train", "--skill", "empty", "--dry-run")
    assert code != 0
    assert "such as ./empty" in error["error"]["problems"][0]["expected"]
    # The bank's own come first.
    (folder / "tiny-skill").rename(folder / "tao-train-metric-learning-recognition")
    code, shown = tao_skill(folder, "skill", "show", "tao-train-metric-learning-recognition")
    assert (code, shown["skill_dir"]) == (0, str(ROOT / "skills" / "tao-train-metric-learning-recognition"))


def test_settings_may_stand_among_the_overrides(folder: Path) -> None:  # R20
    code, plan = tao_skill(
        folder, "run", "train", "--skill", "./tiny-skill", "--dry-run", "--overrides", "automl_max_recommendations=7",
        '{"custom_param_ranges": {"fit.rate": {"valid_min": 0.001, "valid_max": 0.1}}}',
    )  # fmt: skip
    assert code == 0
    assert plan["search"]["settings"]["automl_max_recommendations"] == 7
    rate = next(one for one in plan["search"]["space"] if one["key"] == "fit.rate")
    assert (rate["low"], rate["high"]) == (0.001, 0.1)


def test_a_person_at_a_terminal_is_asked_first(folder: Path) -> None:
    command = [sys.executable, "-m", "tao_skill", "run", "train", "--skill", "./tiny-skill", *FEW]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, cwd=folder, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        os.write(ours, b"n\n")
        _, said = process.communicate(timeout=60)
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 2
    assert "Start the search? [y/N]" in said
    assert "search: random, 3 trials" in said
    assert "trial 0 (baseline): rate=0.5 kind=plain" in said
    assert "trial 2 (search): rate=" in said
    assert "--automl-policy off" in said
    assert not (folder / "results").exists()


def test_a_report_needs_no_place_to_write(folder: Path) -> None:
    _, made = tao_skill(folder, "automl", "run", "--skill-dir", "./tiny-skill", *FEW)
    page = Path(made["search"]["page"])
    page.unlink()
    page.mkdir()  # as in a results root that is read-only
    code, report = tao_skill(folder, "automl", "report", made["job_id"])
    assert (code, len(report["history"]["trials"])) == (0, 3)
