"""Whole searches over a skill of nobody's, with real worker processes: through the runner, killed, stopped, resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tao_skill.config.keys import flatten
from tao_skill.errors import JobError, SkillError, SpecError
from tao_skill.jobs.record import JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.cancel import cancel_job
from tao_skill.run.launch_search import resume_search
from tao_skill.run.make_plan import plan_run
from tao_skill.run.parent_job import find_parent
from tao_skill.run.request import RunRequest
from tao_skill.run.result import RunResult
from tao_skill.run.results_root import open_store
from tao_skill.run.runner import run
from tao_skill.run.search_files import write_report
from tao_skill.run.search_history import load_history

ROOT = Path(__file__).parents[2]


def request(tmp_path: Path, skill_dir: Path, *overrides: str, **settings: Any) -> RunRequest:
    defaults = {"automl_algorithm": "random", "automl_max_recommendations": 5, "automl_max_concurrent": 1}
    return RunRequest(
        action="train", skill=str(skill_dir), results_root=str(tmp_path / "results"), overrides=list(overrides),
        automl=[defaults | settings],
    )  # fmt: skip


def store(tmp_path: Path) -> JobStore:
    return open_store(str(tmp_path / "results"))


def history(tmp_path: Path, result: RunResult) -> Any:
    return load_history(store(tmp_path).load(result.job_id))


def test_a_search_is_a_job_and_so_is_each_trial(tmp_path: Path, skill_dir: Path) -> None:  # R19
    result = run(request(tmp_path, skill_dir))
    assert result.status == JobStatus.COMPLETE
    found = history(tmp_path, result)
    assert [trial.number for trial in found.trials] == list(range(5))
    assert found.trials[0].values == {"fit.rate": 0.5, "fit.kind": "plain"}
    assert found.left_out == {"fit.drag": "no effect: none has no drag"}
    assert result.search is not None
    assert result.search["gain"] > 0
    records = [store(tmp_path).load(trial.job_id) for trial in found.trials]
    assert {record.parent_job for record in records} == {result.job_id}
    winner = records[found.winner]
    assert winner.status == JobStatus.COMPLETE
    assert winner.provenance["fit.rate"] == "recommended"
    assert store(tmp_path).load(result.job_id).best_child == winner.job_id


def test_the_searchs_id_stands_for_its_best_child(tmp_path: Path, skill_dir: Path) -> None:  # R69
    result = run(request(tmp_path, skill_dir))
    files = find_parent(store(tmp_path), result.job_id, force=False)
    assert result.search is not None
    assert files.job_id == result.search["best_child"]
    assert [candidate.path for candidate in files.candidates] == ["model_epoch_003.pth"]
    # Its own id does so too, even where the wall clock stopped it; no other trial's does.
    loser = next(trial.job_id for trial in history(tmp_path, result).trials if trial.job_id != files.job_id)
    for job_id in (files.job_id, loser):
        file = store(tmp_path).folder(job_id) / "job.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"status": "CANCELED"}))
    assert find_parent(store(tmp_path), files.job_id, force=False).job_id == files.job_id
    with pytest.raises(JobError, match="is CANCELED") as caught:
        find_parent(store(tmp_path), loser, force=False)
    assert caught.value.next_step.startswith(f"--parent-job-id {result.job_id} takes the best trial")


def test_the_documents_obey_their_schemas(tmp_path: Path, skill_dir: Path) -> None:
    result = run(request(tmp_path, skill_dir))
    assert result.search is not None
    for name in ("best_rec", "report", "history"):
        document = json.loads(Path(result.search[name]).read_text())
        packaged = {"best_rec": "best_rec", "report": "automl_report", "history": "search_history"}[name]
        schema = json.loads((ROOT / "schemas" / f"{packaged}.schema.json").read_text())
        jsonschema.Draft202012Validator(schema).validate(document)
    best = json.loads(Path(result.search["best_rec"]).read_text())["best"]
    assert Path(best["checkpoint_uri"]).is_file()
    assert flatten(best["specs"]) == result.search["values"]
    winner = load_history(store(tmp_path).load(result.job_id)).trials[int(best["rec_id"])]
    assert best["observed_budget"] == {"num_epochs": winner.last_epoch}


def test_only_the_winners_checkpoints_stay(tmp_path: Path, skill_dir: Path) -> None:
    result = run(request(tmp_path, skill_dir))
    left = sorted(path.parent.parent.name for path in (tmp_path / "results").rglob("*.pth"))
    assert result.search is not None
    assert left == [result.search["best_child"]]
    assert "checkpoints of 3 trials" in result.search["disk_bound"]


def test_one_process_runs_all_trials_of_a_slot(tmp_path: Path, skill_dir: Path) -> None:
    result = run(request(tmp_path, skill_dir))
    pids = {
        (tmp_path / "results" / trial.job_id / "train" / "pids").read_text()
        for trial in history(tmp_path, result).trials
    }
    assert len(pids) == 1


def test_trials_may_run_at_the_same_time(tmp_path: Path, skill_dir: Path) -> None:
    result = run(request(tmp_path, skill_dir, "seconds=0.1", automl_max_concurrent=2))
    found = history(tmp_path, result)
    assert len({(tmp_path / "results" / trial.job_id / "train" / "pids").read_text() for trial in found.trials}) == 2


def test_what_the_user_set_is_kept_in_every_trial(tmp_path: Path, skill_dir: Path) -> None:  # R20
    result = run(request(tmp_path, skill_dir, "fit.rate=0.05", "fit.epochs=2"))
    found = history(tmp_path, result)
    assert found.left_out["fit.rate"] == "you set it"
    for trial in found.trials:
        spec = store(tmp_path).load(trial.job_id).spec
        assert (spec["fit"]["rate"], spec["fit"]["epochs"]) == (0.05, 2)


def test_a_target_ends_the_search(tmp_path: Path, skill_dir: Path) -> None:
    result = run(request(tmp_path, skill_dir, automl_target=0.55, automl_max_recommendations=20))
    assert result.search is not None
    assert "reached the target 0.55" in result.search["end_reason"]
    assert result.search["trials"] < 20


def test_the_wall_clock_ends_the_search(tmp_path: Path, skill_dir: Path) -> None:
    begin = time.monotonic()
    result = run(request(tmp_path, skill_dir, "seconds=0.2", automl_max_minutes=0.05, automl_max_recommendations=50))
    assert time.monotonic() - begin < 30
    assert result.status == JobStatus.COMPLETE
    assert result.search is not None
    assert "wall clock" in result.search["end_reason"]


@pytest.mark.parametrize(
    ("fail", "kind", "attempts"), [("memory", "configuration", 1), ("data", "data", 1), ("nan", "configuration", 1)]
)
def test_failures_are_told_apart_and_end_nothing(
    tmp_path: Path, skill_dir: Path, fail: str, kind: str, attempts: int
) -> None:
    result = run(request(tmp_path, skill_dir, f"fail={fail}"))  # the baseline's rate is among those that fail
    found = history(tmp_path, result)
    failed = [trial for trial in found.trials if trial.state == "failed"]
    assert result.status == JobStatus.COMPLETE
    assert failed[0].number == 0
    assert {(trial.failure.kind, trial.attempts) for trial in failed} == {(kind, attempts)}
    assert store(tmp_path).load(failed[0].job_id).status == JobStatus.ERROR
    assert found.winner is not None


def test_a_trial_ranks_by_the_checkpoint_that_it_hands_on(tmp_path: Path, skill_dir: Path) -> None:
    """The best checkpoint may be none of those that epochs reported, and better or worse than they."""
    script = skill_dir / "scripts" / "train.py"
    script.write_text(script.read_text() + HOLDS_ANOTHER)
    result = run(request(tmp_path, skill_dir, automl_early_stopping=False))
    found = history(tmp_path, result)
    for trial in found.trials:
        child = store(tmp_path).load(trial.job_id)
        reported = found.trained_value(trial)
        assert reported is not None
        assert trial.best_value == pytest.approx(-reported)  # so the worst of those that reported wins
        assert trial.best_epoch == 0
        assert child.metrics["score"] == trial.best_value
    values = [trial.best_value for trial in found.trials if trial.best_value is not None]
    assert found.winner == values.index(max(values))
    assert result.metrics["score"] == max(values)
    best = json.loads((tmp_path / "results" / result.job_id / "train" / "best_rec.json").read_text())["best"]
    assert best["score"] == max(values)


def test_a_failure_of_the_machine_is_tried_again_from_the_checkpoint(tmp_path: Path, skill_dir: Path) -> None:
    result = run(request(tmp_path, skill_dir, "fail=kill", automl_max_recommendations=1))
    trial = history(tmp_path, result).trials[0]
    assert (trial.state, trial.attempts) == ("complete", 2)
    folder = tmp_path / "results" / trial.job_id / "train"
    epochs = [json.loads(line)["epoch"] for line in (folder / "status.json").read_text().splitlines()]
    assert epochs == [0, 1, 2, 3]  # killed after epoch 0, and gone on with epoch 1
    assert len(set((folder / "pids").read_text().split())) == 2


def test_a_search_in_which_all_fails_says_why(tmp_path: Path, skill_dir: Path) -> None:
    with pytest.raises(JobError, match="without a trial that reported score") as caught:
        run(request(tmp_path, skill_dir, "fail=memory", "fail_above=0.0", automl_max_recommendations=9))
    assert "out of memory" in caught.value.problems[0].expected
    record = store(tmp_path).list()[0]
    assert record.status == JobStatus.ERROR
    assert len(load_history(record).trials) == 5
    folder = tmp_path / "results" / record.job_id / "train"
    told = json.loads((folder / "best_rec.json").read_text())
    assert told["best"] is None
    assert [one["score"] for one in told["all_recs"]] == [None] * 5
    assert "out of memory" in (folder / "report.html").read_text()
    assert "out of memory" in json.loads((folder / "report.json").read_text())["history"]["end_reason"]


HOLDS_ANOTHER = """
best = folder / "model_best.pth"
best.write_text("weights")
entry = {"file": best.name, "kind": "best", "epoch": -1, "step": 0, "bytes": 7, "metrics": {"score": -value}}
(folder / "checkpoints.json").write_text(json.dumps({"best": best.name, "checkpoints": [entry], "latest": ""}))
(folder / "results.json").write_text(json.dumps({"metrics": {"score": -value}, "checkpoint": str(best)}))
"""
LIMITS = {"automl_trial_timeout_minutes": 0.01, "automl_max_recommendations": 2}


def test_a_trial_that_takes_too_long_is_ended(tmp_path: Path, skill_dir: Path) -> None:  # 8.23
    with pytest.raises(JobError, match="without a trial") as caught:
        run(request(tmp_path, skill_dir, "seconds=0.5", **LIMITS))
    assert "automl_trial_timeout_minutes" in caught.value.problems[1].expected


RUNNER = """
import sys
from tao_skill.run.request import RunRequest
from tao_skill.run.runner import run
print(run(RunRequest.model_validate_json(sys.argv[1])).status)
"""


def start(asked: RunRequest) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUNNER, asked.model_dump_json()], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def wait_for(tmp_path: Path, trials: int, epochs: int = 1) -> str:
    """Wait until so many trials have begun and the last has trained so long; return the search's job."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for path in (tmp_path / "results").glob("*/train/search_history.json"):
            found = json.loads(path.read_text())["trials"]
            if len(found) >= trials and len(found[trials - 1]["reports"]) >= epochs:
                return path.parent.parent.name
        time.sleep(0.02)
    raise AssertionError("the search never came so far")


def is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_killed_search_goes_on_where_it_was(tmp_path: Path, skill_dir: Path) -> None:
    asked = request(tmp_path, skill_dir, "seconds=0.15", automl_early_stopping=False, automl_max_recommendations=4)
    process = start(asked)
    job_id = wait_for(tmp_path, 2, 2)
    process.kill()
    process.communicate(timeout=30)
    folder = tmp_path / "results" / f"{job_id}-t001" / "train"
    worker = (folder / "pids").read_text().split()[0]
    end = time.monotonic() + 20
    while is_alive(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_alive(worker)  # a worker never outlives its runner
    record = store(tmp_path).reconcile(store(tmp_path).load(job_id))
    assert record.status == JobStatus.ERROR
    search = tmp_path / "results" / job_id / "train"
    assert json.loads((search / "best_rec.json").read_text())["best"]["rec_id"] == "0"  # written after each trial
    (search / "report.html").unlink()
    told = write_report(store(tmp_path), record)
    assert told.state == "interrupted"
    assert "trial-1" in (search / "report.html").read_text()
    assert len(json.loads((search / "report.json").read_text())["history"]["trials"][1]["reports"]) >= 2
    assert job_id in record.error.next_step if record.error else False
    result = resume_search(store(tmp_path), job_id)
    found = history(tmp_path, result)
    assert result.status == JobStatus.COMPLETE
    assert [trial.state for trial in found.trials] == ["complete"] * 4
    epochs = [json.loads(line)["epoch"] for line in (folder / "status.json").read_text().splitlines()]
    assert len(epochs) - len(set(epochs)) <= 1  # no more than what came after the last checkpoint
    assert sorted(set(epochs)) == [0, 1, 2, 3]
    assert found.trials[0].attempts == 1


def test_a_stopped_search_keeps_what_it_found_and_can_go_on(tmp_path: Path, skill_dir: Path) -> None:
    process = start(request(tmp_path, skill_dir, "seconds=0.1", automl_max_recommendations=50))
    job_id = wait_for(tmp_path, 2, 1)
    assert cancel_job(store(tmp_path), job_id).status == JobStatus.CANCELED
    out, _ = process.communicate(timeout=60)
    assert out.strip() == "CANCELED"
    record = store(tmp_path).load(job_id)
    assert record.best_child is not None
    assert (tmp_path / "results" / job_id / "train" / "best_rec.json").is_file()
    before = load_history(record)
    assert before.state == "interrupted"
    text = (tmp_path / "results" / job_id / "train" / "search_history.json").read_text()
    changed = json.loads(text)
    changed["settings"]["automl_max_recommendations"] = len(before.trials) + 1
    (tmp_path / "results" / job_id / "train" / "search_history.json").write_text(json.dumps(changed))
    result = resume_search(store(tmp_path), job_id)
    assert result.status == JobStatus.COMPLETE
    assert len(history(tmp_path, result).trials) == len(before.trials) + 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_a_search_that_is_over_left_running_is_concluded(tmp_path: Path, skill_dir: Path, number: int) -> None:
    """It is interrupted, and so much less is wanted when it is resumed that nothing is left to train."""
    process = start(request(tmp_path, skill_dir, "seconds=1.0", automl_early_stopping=False))
    job_id = wait_for(tmp_path, 2, 1)
    process.send_signal(number)
    process.communicate(timeout=60)
    result = resume_search(store(tmp_path), job_id, {"automl_target": 0.01})
    assert result.status == JobStatus.COMPLETE
    found = history(tmp_path, result)
    assert [trial.state for trial in found.trials] == ["complete", "stopped"]
    assert "reached the target" in found.trials[1].reason
    assert store(tmp_path).load(found.trials[1].job_id).status == JobStatus.CANCELED
    kept = {trial.number for trial in found.trials if trial.checkpoints_kept}
    assert kept == {found.winner}
    left = {path.parts[-3] for path in (tmp_path / "results").glob("*/train/*.pth")}
    assert left == {found.trials[found.winner or 0].job_id}


def test_a_trial_that_somebody_cancels_is_not_tried_again(tmp_path: Path, skill_dir: Path) -> None:
    process = start(request(tmp_path, skill_dir, "seconds=0.3", automl_max_recommendations=2))
    job_id = wait_for(tmp_path, 1, 1)
    cancel_job(store(tmp_path), f"{job_id}-t000")
    out, _ = process.communicate(timeout=60)
    assert out.strip() == "COMPLETE"
    first, second = load_history(store(tmp_path).load(job_id)).trials
    assert (first.state, first.attempts, first.failure.message) == ("failed", 1, "its job was canceled")
    assert second.state == "complete"
    assert store(tmp_path).load(first.job_id).status == JobStatus.CANCELED


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_a_search_in_order(tmp_path: Path, skill_dir: Path, number: int) -> None:
    process = start(request(tmp_path, skill_dir, "seconds=0.1", automl_max_recommendations=50))
    job_id = wait_for(tmp_path, 1, 1)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert out.strip() == "CANCELED"
    assert store(tmp_path).load(job_id).status == JobStatus.CANCELED


def test_a_complete_search_has_nothing_to_resume(tmp_path: Path, skill_dir: Path) -> None:
    result = run(request(tmp_path, skill_dir, automl_max_recommendations=1))
    with pytest.raises(JobError, match="nothing to resume"):
        resume_search(store(tmp_path), result.job_id)


def test_the_plan_tells_the_search_and_writes_nothing(tmp_path: Path, skill_dir: Path) -> None:
    plan = plan_run(request(tmp_path, skill_dir))
    assert plan.dispatch == "tao-run-automl"
    assert plan.search is not None
    assert [one["key"] for one in plan.search["space"]] == ["fit.rate", "fit.kind"]
    assert not (tmp_path / "results").exists()
    assert "results_dir" not in " ".join(plan.warnings)
    plan = plan_run(request(tmp_path, skill_dir, f"results_dir={tmp_path / 'own'}"))
    assert "results_dir is where the search writes its reports" in " ".join(plan.warnings)


def test_a_skill_of_another_bank_trains_directly_too(tmp_path: Path, skill_dir: Path) -> None:  # R21
    result = run(request(tmp_path, skill_dir).model_copy(update={"automl_policy": "off", "automl": []}))
    assert result.status == JobStatus.COMPLETE
    assert result.search is None
    assert result.metrics["score"] > 0


def test_wrong_requests_cost_nothing(tmp_path: Path, skill_dir: Path) -> None:
    with pytest.raises(SpecError, match=r"fit\.rte"):
        run(request(tmp_path, skill_dir, "fit.rte=0.1"))
    with pytest.raises(SpecError, match="group"):
        run(request(tmp_path, skill_dir, custom_param_ranges={"fit.batch": {"valid_options": [6]}}))
    (skill_dir / "scripts" / "train.py").unlink()
    with pytest.raises(SkillError, match="script"):
        run(request(tmp_path, skill_dir))
    assert not (tmp_path / "results").exists()


def test_a_skill_without_a_document_is_tuned_by_schema_and_template(tmp_path: Path, skill_dir: Path) -> None:
    (skill_dir / "SKILL.md").unlink()
    with pytest.raises(SpecError, match="what to optimise"):
        run(request(tmp_path, skill_dir))
    assert run(request(tmp_path, skill_dir, metric="score")).status == JobStatus.COMPLETE
