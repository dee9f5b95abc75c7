"""How searches end and go on: one process at a time, with what a user may change, and what was still to be done."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from tao_skill.automl.history import SearchHistory
from tao_skill.config.yaml_text import dump_yaml, load_yaml
from tao_skill.errors import JobError, SpecError, StorageError
from tao_skill.jobs.identity import this_process
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.launch_search import resume_search
from tao_skill.run.parent_job import find_parent
from tao_skill.run.request import RunRequest
from tao_skill.run.results_root import open_store
from tao_skill.run.resume import resume_job
from tao_skill.run.runner import run
from tao_skill.run.search_files import save_history
from tao_skill.run.search_history import load_history
from tao_skill.run.search_lock import own_search


def request(tmp_path: Path, skill_dir: Path, *overrides: str, **settings: Any) -> RunRequest:
    defaults = {"automl_algorithm": "random", "automl_max_recommendations": 2, "automl_max_concurrent": 1}
    return RunRequest(
        action="train", skill=str(skill_dir), results_root=str(tmp_path / "results"), overrides=list(overrides),
        automl=[defaults | settings],
    )  # fmt: skip


def store(tmp_path: Path) -> JobStore:
    return open_store(str(tmp_path / "results"))


@pytest.fixture
def failed(tmp_path: Path, skill_dir: Path) -> JobRecord:
    """A search whose only trial failed."""
    with pytest.raises(JobError, match="without a trial"):
        run(request(tmp_path, skill_dir, "fail=memory", "fail_above=0.0", automl_max_recommendations=1))
    return next(one for one in store(tmp_path).list() if one.parent_job is None)


def test_a_search_that_another_process_holds_is_left_as_it_is(tmp_path: Path, failed: JobRecord) -> None:
    written = tmp_path / "results" / failed.job_id / "train" / "search_history.json"
    before = written.read_bytes()
    with own_search(failed), pytest.raises(JobError, match="Another process works on search"):
        resume_search(store(tmp_path), failed.job_id)
    assert store(tmp_path).load(failed.job_id) == failed
    assert written.read_bytes() == before


def test_a_search_that_can_not_be_written_does_not_stay_pending(tmp_path: Path, failed: JobRecord) -> None:
    spec = tmp_path / "results" / failed.job_id / "train" / "spec.yaml"
    spec.unlink()
    spec.mkdir()
    with pytest.raises(JobError, match=r"spec\.yaml can't be written"):
        resume_search(store(tmp_path), failed.job_id)
    found = store(tmp_path).load(failed.job_id)
    assert found.status == JobStatus.ERROR
    assert found.error is not None
    assert "can't be written" in found.error.message


def test_a_disk_that_is_full_is_told_as_such(tmp_path: Path, skill_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path, history: SearchHistory) -> None:
        if any(trial.reports for trial in history.trials):
            raise OSError(errno.ENOSPC, "No space left on device", str(folder))
        save_history(folder, history)

    monkeypatch.setattr("tao_skill.run.search_job.save_history", full)
    with pytest.raises(StorageError, match="No space left on device") as caught:
        run(request(tmp_path, skill_dir))
    record = next(one for one in store(tmp_path).list() if one.parent_job is None)
    assert f"automl resume {record.job_id}" in caught.value.next_step
    assert record.status == JobStatus.ERROR
    assert record.error is not None
    assert record.error.code == "storage_error"
    monkeypatch.undo()
    assert resume_search(store(tmp_path), record.job_id).status == JobStatus.COMPLETE


def test_what_was_to_be_a_search_does_not_go_on_as_a_training(tmp_path: Path, failed: JobRecord) -> None:
    """Whoever asked for it broke off before it had a history, while its inputs were fetched."""
    (tmp_path / "results" / failed.job_id / "train" / "search_history.json").unlink()
    with pytest.raises(JobError, match="was to be a search, but broke off before that began"):
        resume_job(store(tmp_path), failed.job_id)
    assert store(tmp_path).load(failed.job_id) == failed


def test_a_trial_is_its_searchs_to_resume(tmp_path: Path, failed: JobRecord) -> None:
    trial = f"{failed.job_id}-t000"
    for call in (lambda: resume_job(store(tmp_path), trial), lambda: find_parent(store(tmp_path), trial, force=False)):
        with pytest.raises(JobError) as caught:
            call()
        assert f"automl resume {failed.job_id}" in caught.value.next_step
    assert store(tmp_path).load(trial).status == JobStatus.ERROR


def test_a_search_that_has_not_ended_is_no_parent_yet(tmp_path: Path, failed: JobRecord) -> None:
    with pytest.raises(JobError, match="is ERROR, not COMPLETE") as caught:
        find_parent(store(tmp_path), failed.job_id, force=False)
    assert f"automl resume {failed.job_id}, or add --force-parent" in caught.value.next_step
    store(tmp_path).update(failed.job_id, status=JobStatus.RUNNING, **this_process())
    with pytest.raises(JobError, match="is RUNNING, not COMPLETE") as caught:
        find_parent(store(tmp_path), failed.job_id, force=False)
    assert caught.value.next_step.startswith(f"wait, or python -m tao_skill automl stop {failed.job_id}")


def train(skill_dir: Path, body: str) -> None:
    """Give the skill another program; it knows its ``spec`` and its ``folder``."""
    begin = """
import json, pathlib, sys, yaml
spec = yaml.safe_load(pathlib.Path(sys.argv[2]).read_text())
folder = pathlib.Path(spec["results_dir"]) / "train"
"""
    (skill_dir / "scripts" / "train.py").write_text(begin + body)


def test_reports_that_come_at_once_are_written_down_at_once(
    tmp_path: Path, skill_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(
        skill_dir, 'lines = [json.dumps({"epoch": one, "kpi": {"score": one}}) + chr(10) for one in range(100)]\n'
        '(folder / "status.json").write_text("".join(lines))',
    )  # fmt: skip
    writes = []

    def count(folder: Path, history: SearchHistory) -> None:
        writes.append(len(history.trials[0].reports) if history.trials else 0)
        save_history(folder, history)

    monkeypatch.setattr("tao_skill.run.search_job.save_history", count)
    result = run(request(tmp_path, skill_dir, "fit.epochs=100", automl_max_recommendations=1))
    assert result.search is not None
    assert result.search["best"] == 99
    assert len(writes) < 10


@pytest.mark.parametrize(("metric", "says"), [("Scor", "the nearest is score"), ("xyz", "reports: score")])
def test_a_metric_that_nobody_reports_ends_the_search(tmp_path: Path, skill_dir: Path, metric: str, says: str) -> None:
    with pytest.raises(JobError, match=f"without a trial that reported {metric}") as caught:
        run(request(tmp_path, skill_dir, metric=metric, direction="maximize", automl_max_recommendations=9))
    assert says in caught.value.problems[0].expected
    assert "--automl metric=NAME" in caught.value.next_step
    record = next(one for one in store(tmp_path).list() if one.parent_job is None)
    assert len(load_history(record).trials) == 1


def test_what_a_program_reports_at_its_end_alone_is_waited_for(tmp_path: Path, skill_dir: Path) -> None:
    """Its validations tell another metric."""
    train(
        skill_dir, 'lines = [json.dumps({"epoch": one, "kpi": {"score": one}}) + chr(10) for one in range(4)]\n'
        '(folder / "status.json").write_text("".join(lines))\nimport time; time.sleep(0.3)\n'
        '(folder / "results.json").write_text(json.dumps({"metrics": {"size": 1.0}}))',
    )  # fmt: skip
    result = run(request(tmp_path, skill_dir, metric="size", direction="maximize"))
    assert result.search is not None
    assert (result.search["trials"], result.search["best"]) == (2, 1.0)


def test_a_search_goes_on_with_a_larger_budget(tmp_path: Path, skill_dir: Path) -> None:
    with pytest.raises(JobError, match="without a trial"):
        run(request(tmp_path, skill_dir, "fail=memory", automl_max_recommendations=1))  # the baseline's rate fails
    record = next(one for one in store(tmp_path).list() if one.parent_job is None)
    with pytest.raises(SpecError, match="another automl_algorithm") as caught:
        resume_search(store(tmp_path), record.job_id, {"algorithm": "bayesian", "max_recommendations": 5})
    assert "'random', as at first" in caught.value.problems[0].expected
    assert store(tmp_path).load(record.job_id) == record
    result = resume_search(store(tmp_path), record.job_id, {"max_recommendations": 5})
    assert result.status == JobStatus.COMPLETE
    assert result.search is not None
    assert result.search["trials"] == 5


def test_a_winner_that_was_not_measured_is_measured_by_resuming(
    tmp_path: Path, skill_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = run(request(tmp_path, skill_dir))
    record = store(tmp_path).load(result.job_id)
    written = load_history(record)
    assert written.final_evaluation is not None
    written.final_evaluation = None  # as after a kill just then
    save_history(tmp_path / "results" / result.job_id / "train", written)
    again = resume_search(store(tmp_path), result.job_id, {"max_recommendations": 9})
    assert "max_recommendations changes nothing" in caplog.text
    assert again.search is not None
    assert again.search["final_evaluation"] == {"status": "skipped", "reason": "the skill has no action evaluate"}
    assert load_history(record).final_evaluation == again.search["final_evaluation"]
    with pytest.raises(JobError, match="nothing to resume"):
        resume_search(store(tmp_path), result.job_id)


def test_whatever_keeps_a_winner_from_being_measured_the_search_is_complete(
    tmp_path: Path, skill_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = skill_dir / "references" / "skill_info.yaml"
    facts = load_yaml(info.read_text())
    facts["actions"]["evaluate"] = facts["actions"]["train"]
    info.write_text(dump_yaml(facts))
    root = "https://somebody:password@127.0.0.1:9/data"

    def fail(asked: RunRequest) -> None:
        assert asked.data_root == root  # with what lets it in
        raise OSError(f"{root} is away")

    monkeypatch.setattr("tao_skill.run.final_evaluation.make_ready", fail)
    result = run(request(tmp_path, skill_dir).model_copy(update={"data_root": root}))
    assert result.status == JobStatus.COMPLETE
    assert result.search is not None
    final = result.search["final_evaluation"]
    assert final == {"status": "failed", "reason": "OSError: https://hidden@127.0.0.1:9/data is away"}
    again = resume_search(store(tmp_path), result.job_id)  # it is tried again
    assert again.search is not None
    assert "was a signed link" in again.search["final_evaluation"]["reason"]


def test_checkpoints_that_can_not_be_removed_are_told_and_end_nothing(
    tmp_path: Path, skill_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tao_skill.run.slots.forget_checkpoints", refused)
    result = run(request(tmp_path, skill_dir, automl_max_recommendations=4))
    assert result.status == JobStatus.COMPLETE
    assert "can't be removed: [Errno 13] Permission denied" in caplog.text
