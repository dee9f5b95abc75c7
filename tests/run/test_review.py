"""Look before a search: what it would do and cost, measured, with nothing left behind."""

import importlib.util
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tao_skill.errors import UsageError
from tao_skill.run.make_plan import plan_run
from tao_skill.run.request import RunRequest
from tao_skill.run.review import review_plan, review_search

_SPEC = importlib.util.spec_from_file_location("tiny_skill", Path(__file__).parents[1] / "automl" / "conftest.py")
assert _SPEC is not None
assert _SPEC.loader is not None
tiny_skill = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tiny_skill)


def request(tmp_path: Path, **options: Any) -> RunRequest:
    skill = tiny_skill.make_skill(tmp_path / "tiny-skill", seconds=0.05)
    defaults = {
        "results_root": str(tmp_path / "results"),
        "automl": [{"automl_max_recommendations": 6, "automl_max_concurrent": 2}],
    }
    return RunRequest(action="train", skill=str(skill), **(defaults | options))


def test_a_review_measures_two_epochs_and_leaves_nothing(tmp_path: Path) -> None:
    found = review_search(request(tmp_path, overrides=["seconds=1.0"]), 30.0)
    measured = found["measured"]
    assert measured["state"] in ("2 epochs", "3 epochs")  # its program tells no step
    # The start is part of a trial, and of no epoch.
    assert 0.6 < measured["seconds_per_epoch"] < 3
    assert measured["start_seconds"] < measured["seconds"] - measured["seconds_per_epoch"]
    assert found["estimate"]["epochs_at_most"] == 24
    # Two trials run at once.
    trial = measured["start_seconds"] + 4 * measured["seconds_per_epoch"]
    assert found["estimate"]["minutes_at_most"] == pytest.approx(3 * trial / 60)
    assert [one["trial"] for one in found["first_proposals"]] == [0, 1, 2, 3]
    assert found["first_proposals"][0]["values"] == found["baseline"]
    assert not (tmp_path / "results").exists()


def test_a_few_steps_tell_what_a_search_takes(tmp_path: Path) -> None:
    asked = request(tmp_path, overrides=["seconds=60"])  # an epoch is never waited for
    script = tmp_path / "tiny-skill" / "scripts" / "train.py"
    told = {"seconds_per_step": 2.0, "steps_per_epoch": 30, "validation_seconds_per_epoch": 5.0}
    line = json.dumps({"status": "RUNNING", "kpi": told})
    before, loop, after = script.read_text().partition("for epoch in range(")
    script.write_text(f"{before}with status.open('a') as file:\n    file.write({line!r} + chr(10))\n{loop}{after}")
    found = review_search(asked, 30.0)
    assert found["measured"]["state"] == "a few steps"
    assert found["estimate"]["seconds_per_epoch"] == 65.0
    trial = found["measured"]["seconds"] + 4 * 65.0
    assert found["estimate"]["minutes_per_trial"] == pytest.approx(trial / 60)
    assert found["estimate"]["minutes_at_most"] == pytest.approx(6 / 2 * trial / 60)
    assert not (tmp_path / "results").exists()


def test_a_program_that_tells_of_its_last_epoch_alone_is_taken_for_no_slower(tmp_path: Path) -> None:
    asked = request(tmp_path, overrides=["seconds=0.6"])
    script = tmp_path / "tiny-skill" / "scripts" / "train.py"
    told, last = "    with status.open(", '    with (status if epoch + 1 == fit["epochs"] else folder / "untold").open('
    assert told in script.read_text()
    script.write_text(script.read_text().replace(told, last))
    found = review_search(asked, 30.0)
    assert found["measured"]["state"] == "4 epochs"
    assert found["measured"]["seconds_per_epoch"] == pytest.approx(found["measured"]["seconds"] / 4, rel=0.3)
    assert found["estimate"]["minutes_per_trial"] < 1.05 * found["measured"]["seconds"] / 60


def test_a_metric_that_is_never_told_is_seen_before_the_search(tmp_path: Path) -> None:
    settings = {"metric": "acuracy", "direction": "maximize"}
    found = review_search(request(tmp_path, automl=[settings]), 30.0)
    assert found["measured"]["state"] == "failed"
    assert found["measured"]["reason"] == "it does not report acuracy; it reports score"


def test_what_takes_too_long_is_not_waited_for(tmp_path: Path) -> None:
    found = review_search(request(tmp_path, overrides=["seconds=30"]), 0.5)
    assert found["measured"]["state"] == "less than an epoch"
    assert found["estimate"]["minutes_at_most"] is None


def test_a_trial_that_would_fail_is_seen_before_the_search(tmp_path: Path) -> None:
    found = review_search(request(tmp_path, overrides=["fail=memory"]), 30.0)
    assert found["measured"]["state"] == "failed"
    assert "out of memory" in found["measured"]["reason"]


def test_without_a_search_there_is_nothing_to_review(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no search"):
        review_search(request(tmp_path, automl_policy="off"), 0.0)


def reviewed_with(answer: Any, tmp_path: Path, **settings: Any) -> dict[str, Any]:
    """Review a search with a language model that answers so."""
    defaults = {"automl_algorithm": "llm", "llm_model": "tiny", "llm_max_retries": 0}
    with tiny_skill.chat.serve(answer) as server:
        return review_search(request(tmp_path, automl=[defaults | {"llm_endpoint": server.url} | settings]), 0.0)


def test_a_language_model_is_asked_for_the_first_trials(tmp_path: Path) -> None:
    found = reviewed_with(tiny_skill.chat.good, tmp_path)
    origins = [one["origin"] for one in found["first_proposals"]]
    assert origins == ["baseline", "language model", "language model", "language model"]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda request: request.send(403, b"no"), "can't be asked: HTTP 403"),
        (lambda request: request.say("no"), "5 invalid answers in a row"),
        (lambda _: time.sleep(3), "did not answer within 0.5 s"),
    ],
)
def test_a_language_model_that_is_of_no_use_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Any, says: str
) -> None:
    monkeypatch.setattr("tao_skill.run.review._MODEL_SECONDS", 0.5 if "within" in says else 60.0)
    found = reviewed_with(answer, tmp_path)
    assert [one["origin"] for one in found["first_proposals"]] == ["baseline"]
    assert any(says in warning for warning in found["warnings"])
    assert found["estimate"]["epochs_at_most"] == 80


def test_a_plan_is_reviewed_without_asking_a_model(tmp_path: Path) -> None:
    with tiny_skill.chat.serve() as server:
        automl = [{"automl_algorithm": "hybrid", "llm_model": "tiny", "llm_endpoint": server.url}]
        asked = request(tmp_path, automl=automl)
        found = review_plan(asked, plan_run(asked))
    assert len(found["first_proposals"]) == 1
    assert server.requests == []


def test_a_metric_whose_name_tells_no_direction_is_told_of(tmp_path: Path) -> None:
    asked = request(tmp_path, automl=[{"metric": "units"}])
    found = review_plan(asked, plan_run(asked))
    assert any("direction=minimize" in warning for warning in found["warnings"])
    asked.automl = [{"metric": "units", "direction": "maximize"}]
    assert not any("direction" in warning for warning in plan_run(asked).warnings)
    asked.automl = [{"metric": "val_rmse"}]
    plan = plan_run(asked)
    assert (plan.search or {})["direction"] == "minimize"
    assert not any("direction" in warning for warning in plan.warnings)


def test_a_trial_is_interrupted_once_and_cleans_up_in_peace(tmp_path: Path) -> None:
    asked = request(tmp_path, overrides=["seconds=30"])
    script, told = tmp_path / "tiny-skill" / "scripts" / "train.py", tmp_path / "interrupts"
    counting = f"""
import pathlib, signal, time
def clean_up(number, frame):
    with pathlib.Path({str(told)!r}).open("a") as file:
        file.write("once ")
    time.sleep(0.5)
    raise KeyboardInterrupt
signal.signal(signal.SIGINT, clean_up)
"""
    script.write_text(counting + script.read_text())
    assert review_search(asked, 1.0)["measured"]["state"] == "less than an epoch"
    assert told.read_text() == "once "
