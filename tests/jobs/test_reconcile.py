"""What becomes of a job whose runner died."""

import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tao_skill.jobs.identity import process_start_time, this_process
from tao_skill.jobs.reconcile import is_orphaned
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore

GONE = {"host": platform.node(), "runner_pid": 2**30, "runner_start_time": "boot:1"}


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "results")


def running(store: JobStore, action: str = "train", **fields: Any) -> JobRecord:
    folder = store.folder("job")
    store.create(JobRecord(job_id="job", skill="s", action=action, results_dir=str(folder), **fields))
    (folder / action).mkdir()
    return store.update("job", status="RUNNING", pid=2**30 + 1, process_start_time="boot:2")


def say(store: JobStore, status: str) -> None:
    folder = store.folder("job") / "train"
    line = {"status": status, "message": "no space left"}
    (folder / "status.json").write_text('{"status": "STARTED"}\n' + json.dumps(line) + "\n")


def test_a_job_of_dead_processes_is_an_error_with_the_end_of_its_log(store: JobStore) -> None:
    record = running(store, **GONE)
    (store.folder("job") / "train" / "log.txt").write_text("epoch 1\nKilled\n")
    marked = store.reconcile(record)
    assert marked.status is JobStatus.ERROR
    assert marked.log_tail == ["epoch 1", "Killed"]
    assert marked.error is not None
    assert "jobs resume job" in marked.error.next_step
    assert str(GONE["runner_pid"]) in marked.transitions[-1].reason
    assert store.load("job") == marked
    assert store.reconcile(marked) == marked


def test_what_the_action_said_last_is_the_reason(store: JobStore) -> None:
    record = running(store, **GONE)
    say(store, "FAILURE")
    assert "no space left" in store.reconcile(record).transitions[-1].reason


def test_an_action_that_went_on_and_succeeded_is_complete(store: JobStore) -> None:
    record = running(store, **GONE)
    say(store, "SUCCESS")
    results = {"metrics": {"val Precision at Rank 1": 0.5, "none": None}, "checkpoint": "/x/model_best.pth"}
    (store.folder("job") / "train" / "results.json").write_text(json.dumps(results))
    marked = store.reconcile(record)
    assert marked.status is JobStatus.COMPLETE
    assert marked.metrics == {"val Precision at Rank 1": 0.5}
    assert marked.checkpoint == "/x/model_best.pth"


def test_a_success_from_before_this_start_proves_nothing(store: JobStore) -> None:
    record = running(store, **GONE)
    say(store, "SUCCESS")
    os.utime(store.folder("job") / "train" / "status.json", (1, 1))
    assert store.reconcile(record).status is JobStatus.ERROR


def test_the_folder_that_the_spec_names_is_looked_into(store: JobStore, tmp_path: Path) -> None:
    record = running(store, spec={"train": {"results_dir": str(tmp_path / "own")}}, **GONE)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "log.txt").write_text("here\n")
    assert store.reconcile(record).log_tail == ["here"]


def test_a_living_runner_keeps_the_job_running(store: JobStore) -> None:
    record = running(store, **this_process())
    assert store.reconcile(record) == record


def test_an_action_that_goes_on_without_its_runner_is_marked_once(store: JobStore) -> None:
    running(store, **this_process())
    own = {"pid": os.getpid(), "process_start_time": process_start_time(os.getpid())}
    marked = store.reconcile(store.update("job", **{**GONE, **own}))
    assert marked.status is JobStatus.RUNNING
    assert len(marked.transitions) == 2
    assert str(GONE["runner_pid"]) in marked.warnings[-1]
    assert is_orphaned(marked)
    assert store.load("job") == marked
    assert store.reconcile(marked) == marked


def test_an_id_that_another_process_got_means_nothing(store: JobStore) -> None:
    record = running(store, host=platform.node(), runner_pid=os.getpid(), runner_start_time="boot:1")
    assert store.reconcile(record).status is JobStatus.ERROR


def test_a_job_of_another_machine_is_left_alone(store: JobStore) -> None:
    record = running(store, **{**GONE, "host": "elsewhere"})
    assert store.reconcile(record) == record


def test_a_runner_that_died_before_the_start(store: JobStore) -> None:
    store.create(JobRecord(job_id="job", skill="s", action="train", results_dir="x", **GONE))
    marked = store.reconcile(store.load("job"))
    assert marked.status is JobStatus.ERROR
    assert "before the action started" in marked.transitions[-1].reason


def test_a_record_that_was_written_meanwhile_wins(store: JobStore) -> None:
    stale = running(store, **GONE)
    done = store.update("job", status="COMPLETE")
    assert store.reconcile(stale) == done


RUNNER = """
import sys, time
from pathlib import Path
from tao_skill.jobs.identity import this_process
from tao_skill.jobs.process import start
from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import JobStore
store = JobStore(sys.argv[1])
folder = store.folder("job")
store.create(JobRecord(job_id="job", skill="s", action="train", results_dir=str(folder), **this_process()))
program = "import time; print('hi', flush=True); time.sleep(60)"
with start([sys.executable, "-c", program], folder / "train/log.txt") as h:
    store.update("job", status="RUNNING", pid=h.pid, process_start_time=h.process_start_time)
    h.wait()
"""


def test_kill_9_of_a_real_runner_and_then_of_its_action(store: JobStore) -> None:
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, str(store.root)])
    log = store.folder("job") / "train" / "log.txt"
    end = time.monotonic() + 20
    while time.monotonic() < end and not (log.exists() and log.read_text() and store.load("job").pid):
        time.sleep(0.01)
    assert store.reconcile(store.load("job")).status is JobStatus.RUNNING
    runner.kill()
    runner.wait(timeout=10)
    orphan = store.reconcile(store.load("job"))
    assert orphan.status is JobStatus.RUNNING
    assert is_orphaned(orphan)
    assert orphan.pid is not None
    os.kill(orphan.pid, signal.SIGKILL)
    while process_start_time(orphan.pid) is not None and time.monotonic() < end:
        time.sleep(0.01)
    marked = store.reconcile(orphan)
    assert (marked.status, marked.log_tail) == (JobStatus.ERROR, ["hi"])


@pytest.mark.parametrize(("action", "verb"), [("train", "jobs resume job"), ("evaluate", "jobs logs job")])
def test_what_to_do_about_a_job_that_broke_off(store: JobStore, action: str, verb: str) -> None:
    store.create(JobRecord(job_id="job", skill="s", action=action, results_dir=str(store.folder("job")), **GONE))
    waiting = store.judge(store.load("job"))
    assert waiting.error is not None
    assert waiting.error.next_step == f"the same command again: python -m tao_skill run {action}"
    marked = store.judge(store.update("job", status="RUNNING", pid=2**30 + 1, process_start_time="boot:2"))
    assert marked.error is not None
    assert marked.error.next_step == f"python -m tao_skill {verb}"
    # One that is resumed has no process either, at first.
    store.update("job", status="ERROR")
    resumed = store.judge(store.update("job", status="PENDING", pid=None, **GONE))
    assert resumed.error is not None
    assert resumed.error.next_step == f"python -m tao_skill {verb}"
