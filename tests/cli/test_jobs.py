"""`jobs`: list, show, logs, cancel, resume."""

import json
import os
from pathlib import Path

import pytest

from tao_skill.cli.main import main
from tao_skill.errors import JobError
from tao_skill.jobs.identity import this_process
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import LOCK_FILE, JobStore

GONE = {"runner_pid": 2**22 + 1, "runner_start_time": "never", "pid": 2**22 + 2, "process_start_time": "never"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobStore:
    monkeypatch.setenv("TAO_RESULTS_ROOT", str(tmp_path))
    return JobStore(tmp_path)


def add(store: JobStore, job_id: str, status: JobStatus = JobStatus.COMPLETE, action: str = "train") -> None:
    folder = store.folder(job_id)
    store.create(JobRecord(job_id=job_id, skill="s", action=action, results_dir=str(folder)))
    store.update(job_id, status=JobStatus.RUNNING, **this_process())
    if status != JobStatus.RUNNING:
        store.update(job_id, status=status, metrics={"val Precision at Rank 1": 0.5})
    (folder / action).mkdir()
    (folder / action / "log.txt").write_text("one\ntwo\nthree\n")


def test_list(store: JobStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["jobs"] == []
    add(store, "job-a")
    assert main(["jobs", "list", "--json"]) == 0
    (job,) = json.loads(capsys.readouterr().out)["jobs"]
    assert (job["job_id"], job["status"]) == ("job-a", "COMPLETE")
    assert main(["jobs", "list"]) == 0
    assert "Rank 1 0.5000" in capsys.readouterr().out


def test_a_dead_runner_is_noticed(store: JobStore, capsys: pytest.CaptureFixture[str]) -> None:
    add(store, "job-a", JobStatus.RUNNING)
    store.update("job-a", **GONE)
    assert main(["jobs", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["jobs"][0]["status"] == "ERROR"
    assert store.load("job-a").log_tail[-1] == "three"


def test_show_and_logs(store: JobStore, capsys: pytest.CaptureFixture[str]) -> None:
    add(store, "job-a")
    assert main(["jobs", "show", "job", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["job_id"] == "job-a"
    assert main(["jobs", "show", "job-a"]) == 0
    assert "status: COMPLETE" in capsys.readouterr().out
    assert main(["jobs", "logs", "job-a", "--lines", "2"]) == 0
    assert capsys.readouterr().out == "two\nthree\n"


@pytest.mark.parametrize("lines", ["-3", "0", "two"])
def test_a_number_of_lines_that_makes_no_sense(store: JobStore, lines: str, capsys: pytest.CaptureFixture[str]) -> None:
    add(store, "job-a")
    assert main(["jobs", "logs", "job-a", "--lines", lines, "--json"]) == 2
    assert repr(lines) in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_job_that_runs_can_be_canceled_not_resumed(store: JobStore, capsys: pytest.CaptureFixture[str]) -> None:
    add(store, "job-a", JobStatus.RUNNING)
    assert main(["jobs", "resume", "job-a", "--json"]) == JobError.exit_code
    error = json.loads(capsys.readouterr().out)["error"]
    assert f"process {os.getpid()}" in error["message"]
    assert "jobs cancel job-a" in error["next_step"]


@pytest.mark.parametrize("verb", ["show", "logs", "cancel", "resume"])
def test_an_unknown_job(store: JobStore, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    add(store, "job-a")
    assert main(["jobs", verb, "job-z", "--json"]) == JobError.exit_code
    assert "job-a" in json.loads(capsys.readouterr().out)["error"]["problems"][0]["expected"]


@pytest.mark.parametrize("verb", ["cancel", "resume"])
def test_a_job_that_is_done(store: JobStore, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    add(store, "job-a")
    assert main(["jobs", verb, "job-a", "--json"]) == JobError.exit_code
    assert "COMPLETE" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_another_results_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = JobStore(tmp_path / "other")
    add(other, "job-b")
    assert main(["jobs", "list", "--results-root", str(tmp_path / "other"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["jobs"][0]["job_id"] == "job-b"


def test_a_job_of_another_machine_is_canceled_there(store: JobStore, capsys: pytest.CaptureFixture[str]) -> None:
    add(store, "job-a", JobStatus.RUNNING)
    store.update("job-a", host="elsewhere", pid=2**22 + 2)
    assert main(["jobs", "cancel", "job-a", "--json"]) == JobError.exit_code
    error = json.loads(capsys.readouterr().out)["error"]
    assert "elsewhere" in error["message"]
    assert "--host-gone" in error["next_step"]
    assert store.load("job-a").status is JobStatus.RUNNING
    store.update("job-a", **GONE)
    assert main(["jobs", "cancel", "job-a", "--host-gone", "--json"]) == 0
    assert store.load("job-a").status is JobStatus.CANCELED


def test_what_can_not_be_written_down_is_still_told(store: JobStore, capsys: pytest.CaptureFixture[str]) -> None:
    add(store, "job-a", JobStatus.RUNNING)
    add(store, "job-b")
    store.update("job-a", **GONE)
    # A lock that can't be had stands for a disk that is full or may only be read: root may write everywhere.
    (store.folder("job-a") / LOCK_FILE).unlink(missing_ok=True)
    (store.folder("job-a") / LOCK_FILE).mkdir()
    assert main(["jobs", "list", "--json"]) == 0
    assert [job["status"] for job in json.loads(capsys.readouterr().out)["jobs"]] == ["ERROR", "COMPLETE"]
    assert main(["jobs", "show", "job-a", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "job_error"
    assert store.load("job-a").status is JobStatus.RUNNING


def test_a_results_root_that_can_not_be_named_holds_no_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "list", "--results-root", "x" * 300, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["jobs"] == []
