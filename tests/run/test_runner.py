"""A run from its request to its record, with real child processes in place of the trainer."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tao_skill.errors import JobError, SpecError
from tao_skill.jobs import process
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run import resume
from tao_skill.run.cancel import cancel_job
from tao_skill.run.program import CommandFor
from tao_skill.run.request import RunRequest
from tao_skill.run.results_root import open_store
from tao_skill.run.resume import resume_job
from tao_skill.run.runner import run
from tao_skill.storage.cache_care import prune

PRELUDE = """
import json, os, signal, sys, time, pathlib
spec = json.loads("[]"); spec_file = pathlib.Path(sys.argv[1]); folder = spec_file.parent
"""
SUCCEED = """
print("epoch 0 done")
(folder / "model_epoch_000.pth").write_bytes(bytes([128, 2, 119]))
(folder / "results.json").write_text(json.dumps(
    {"action": "train", "metrics": {"val Precision at Rank 1": 0.5, "nan": float("nan")}, "checkpoint": "c.pth"}))
"""
FAIL = """
(folder / "error.json").write_text(json.dumps(
    {"code": "data_error", "message": "one class only", "problems": [{"key": "k", "value": 1, "expected": "2"}],
     "next_step": "add images"}))
print("about to fail"); sys.exit(4)
"""
CRASH = "print('last words', flush=True); sys.exit(3)"
KILLED = "print('training', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
CHECKPOINT_THEN_KILLED = """
(folder / "model_epoch_003.pth").write_bytes(bytes([128, 2, 119])); (folder / "model_epoch_004.pth").write_bytes(b"w")
os.kill(os.getpid(), signal.SIGKILL)
"""
SLEEP = "(folder / 'started').touch(); time.sleep(60)"

pytestmark = pytest.mark.usefixtures("skill")


def script(tmp_path: Path, body: str) -> CommandFor:
    """Return a command that runs `body` in a process, with the spec's file as its argument."""
    path = tmp_path / f"action{abs(hash(body))}.py"
    path.write_text(PRELUDE + body)

    def command_for(action: str, spec_file: Path) -> Sequence[str]:
        assert spec_file == spec_file.parent.parent / action / "spec.yaml"
        return [sys.executable, str(path), str(spec_file)]

    return command_for


def request(tmp_path: Path, data_root: Path, *overrides: str, **options: Any) -> RunRequest:
    options = {"action": "train", "automl_policy": "off", "results_root": str(tmp_path / "results")} | options
    return RunRequest(data_root=str(data_root), overrides=list(overrides), **options)


def store(tmp_path: Path) -> JobStore:
    return open_store(str(tmp_path / "results"))


def test_a_run_that_ends_well(tmp_path: Path, data_root: Path) -> None:
    result = run(request(tmp_path, data_root, "num_epochs=2"), command_for=script(tmp_path, SUCCEED))
    assert result.status == JobStatus.COMPLETE
    assert result.metrics == {"val Precision at Rank 1": 0.5}
    assert result.checkpoint == "c.pth"
    folder = tmp_path / "results" / result.job_id
    assert result.results_dir == str(folder)
    written = yaml.safe_load((folder / "train" / "spec.yaml").read_text())
    assert written["train"]["num_epochs"] == 2
    assert written["dataset"]["train_dataset"].startswith(str(data_root))
    assert written["results_dir"] == str(folder)
    assert "epoch 0 done" in (folder / "train" / "log.txt").read_text()
    record = store(tmp_path).load(result.job_id)
    assert [(step.from_status, step.to_status) for step in record.transitions] == [
        (None, "PENDING"),
        ("PENDING", "RUNNING"),
        ("RUNNING", "COMPLETE"),
    ]
    assert record.provenance["train.num_epochs"] == "shorthand"
    assert record.exit_code == 0
    assert record.pid


def test_warnings_of_plan_and_action_reach_the_result_once(tmp_path: Path, data_root: Path) -> None:
    body = """
(folder / "results.json").write_text(json.dumps({"warnings": ["no epoch beat the start", sys.argv[2]]}))
"""
    known = "encryption_key has no effect: checkpoints are never encrypted."
    command_for = script(tmp_path, body)
    result = run(
        request(tmp_path, data_root, "encryption_key=x"),
        command_for=lambda action, spec_file: [*command_for(action, spec_file), known],
    )
    assert [warning for warning in result.warnings if "GPU" not in warning] == [known, "no epoch beat the start"]
    assert store(tmp_path).load(result.job_id).warnings == result.warnings


def test_an_error_of_the_action_reaches_the_result(tmp_path: Path, data_root: Path) -> None:
    result = run(request(tmp_path, data_root), command_for=script(tmp_path, FAIL))
    assert result.status == JobStatus.ERROR
    assert result.error is not None
    assert (result.error.code, result.error.message) == ("data_error", "one class only")
    assert result.error.problems[0].key == "k"
    assert store(tmp_path).load(result.job_id).exit_code == 4


@pytest.mark.parametrize(("body", "code", "says"), [(CRASH, 3, "exit code 3"), (KILLED, -9, "SIGKILL")])
def test_a_crash_is_recorded_with_the_end_of_the_log(
    tmp_path: Path, data_root: Path, body: str, code: int, says: str
) -> None:
    result = run(request(tmp_path, data_root), command_for=script(tmp_path, body))
    record = store(tmp_path).load(result.job_id)
    assert (record.status, record.exit_code) == (JobStatus.ERROR, code)
    assert record.error is not None
    assert says in record.error.message
    assert record.log_tail[-1] in ("last words", "training")
    assert result.job_id in record.error.next_step


def test_a_program_that_is_not_there(tmp_path: Path, data_root: Path) -> None:
    with pytest.raises(JobError, match="can't be started"):
        run(request(tmp_path, data_root), command_for=lambda *_: [str(tmp_path / "none")])
    assert [record.status for record in store(tmp_path).list()] == [JobStatus.ERROR]


def test_nothing_is_written_when_the_run_cannot_start(tmp_path: Path, data_root: Path) -> None:
    with pytest.raises(SpecError, match="settings have a problem"):
        run(request(tmp_path, data_root, automl_policy="on", automl=["automl_max_recommendation=3"]))
    with pytest.raises(SpecError, match="3 problems"):
        run(request(tmp_path, tmp_path / "nowhere"), command_for=script(tmp_path, SUCCEED))
    assert not (tmp_path / "results").exists()


def test_a_child_uses_what_its_parent_left(tmp_path: Path, data_root: Path) -> None:
    parent = run(request(tmp_path, data_root), command_for=script(tmp_path, SUCCEED))
    child = run(
        request(tmp_path, data_root, action="evaluate", parent_job_id=parent.job_id),
        command_for=script(tmp_path, SUCCEED),
    )
    record = store(tmp_path).load(child.job_id)
    assert record.parent_job == parent.job_id
    assert record.spec["evaluate"]["checkpoint"] == f"{parent.results_dir}/train/model_epoch_000.pth"


def test_resume_goes_on_from_the_newest_checkpoint_of_the_job(tmp_path: Path, data_root: Path) -> None:
    broken = run(request(tmp_path, data_root, "num_epochs=9"), command_for=script(tmp_path, CHECKPOINT_THEN_KILLED))
    before = store(tmp_path).load(broken.job_id)
    result = resume_job(store(tmp_path), broken.job_id[-6:], command_for=script(tmp_path, SUCCEED))
    assert (result.job_id, result.status) == (broken.job_id, JobStatus.COMPLETE)
    written = yaml.safe_load((Path(result.results_dir) / "train" / "spec.yaml").read_text())
    assert written["train"]["resume_training_checkpoint_path"].endswith("train/model_epoch_004.pth")
    assert written["train"]["num_epochs"] == 9
    record = store(tmp_path).load(broken.job_id)
    assert record.spec == before.spec
    assert [step.to_status for step in record.transitions][-3:] == ["PENDING", "RUNNING", "COMPLETE"]
    assert "model_epoch_004" in record.transitions[-3].reason
    assert record.error is None
    with pytest.raises(JobError, match="COMPLETE: there is nothing to resume"):
        resume_job(store(tmp_path), broken.job_id)


def test_resume_without_a_checkpoint_begins_anew(tmp_path: Path, data_root: Path) -> None:
    broken = run(request(tmp_path, data_root), command_for=script(tmp_path, CRASH))
    result = resume_job(store(tmp_path), broken.job_id, command_for=script(tmp_path, SUCCEED))
    written = yaml.safe_load((Path(result.results_dir) / "train" / "spec.yaml").read_text())
    assert written["train"]["resume_training_checkpoint_path"] == ""
    assert "no checkpoint of its own" in store(tmp_path).load(broken.job_id).transitions[-3].reason


def test_only_training_resumes(tmp_path: Path, data_root: Path) -> None:
    (tmp_path / "c.pth").write_bytes(bytes([128, 2, 119]))
    failed = run(
        request(tmp_path, data_root, f"evaluate.checkpoint={tmp_path}/c.pth", action="evaluate"),
        command_for=script(tmp_path, CRASH),
    )
    with pytest.raises(JobError, match="only training"):
        resume_job(store(tmp_path), failed.job_id)


def _wait_until_started(jobs: JobStore) -> str:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for record in jobs.list():
            if record.status == JobStatus.RUNNING and (Path(record.results_dir) / "train" / "started").exists():
                return record.job_id
        time.sleep(0.05)
    raise AssertionError("the action never started")


def _forbidden(group: int, number: int) -> None:
    raise PermissionError(group, number)


def test_cancel_from_another_thread_is_no_crash(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, action = request(tmp_path, data_root), script(tmp_path, SLEEP)
    results = []
    thread = threading.Thread(target=lambda: results.append(run(asked, command_for=action)))
    thread.start()
    job_id = _wait_until_started(store(tmp_path))
    with pytest.raises(JobError, match="is RUNNING: there is nothing to resume"):
        resume_job(store(tmp_path), job_id)
    with monkeypatch.context() as foreign:
        foreign.setattr(process.os, "killpg", _forbidden)
        with pytest.raises(JobError, match="belongs to another user"):
            cancel_job(store(tmp_path), job_id)
    assert store(tmp_path).load(job_id).status == JobStatus.RUNNING
    assert cancel_job(store(tmp_path), job_id).status == JobStatus.CANCELED
    thread.join(timeout=20)
    assert results[0].status == JobStatus.CANCELED
    assert results[0].error is not None
    assert results[0].error.code == "canceled"
    record = store(tmp_path).load(job_id)
    assert record.exit_code == -signal.SIGTERM
    with pytest.raises(JobError, match="CANCELED already"):
        cancel_job(store(tmp_path), job_id)


RUNNER = """
import sys, json, pathlib
from tao_skill.run.request import RunRequest
from tao_skill.run.runner import run
request = RunRequest(**json.loads(sys.argv[1]))
result = run(request, command_for=lambda action, spec: [sys.executable, sys.argv[2], str(spec)])
print(result.status)
"""


def _start_runner(tmp_path: Path, data_root: Path) -> subprocess.Popen[str]:
    script(tmp_path, SLEEP)("train", tmp_path / "x" / "train" / "spec.yaml")
    action = tmp_path / f"action{abs(hash(SLEEP))}.py"
    text = request(tmp_path, data_root).model_dump_json()
    return subprocess.Popen(
        [sys.executable, "-c", RUNNER, text, str(action)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env=dict(os.environ),
    )


def test_ctrl_c_cancels(tmp_path: Path, data_root: Path) -> None:
    process = _start_runner(tmp_path, data_root)
    job_id = _wait_until_started(store(tmp_path))
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert out.strip() == "CANCELED"
    record = store(tmp_path).load(job_id)
    assert record.status == JobStatus.CANCELED
    assert "SIGINT" in record.transitions[-1].reason


def test_what_a_killed_runner_staged_stays_while_its_action_lives(tmp_path: Path, data_root: Path) -> None:
    folder = next(data_root.rglob("known_classes")) / "train.tar.gz"
    archive = shutil.make_archive(str(tmp_path / "train"), "gztar", folder)
    shutil.rmtree(folder)
    shutil.move(archive, folder)
    process = _start_runner(tmp_path, data_root)
    jobs = store(tmp_path)
    job_id = _wait_until_started(jobs)
    process.kill()
    process.communicate(timeout=20)
    assert prune(tmp_path / "cache") == ([], 0)
    pid = jobs.load(job_id).pid
    assert pid is not None
    os.killpg(pid, signal.SIGKILL)
    end = time.monotonic() + 10
    while not (gone := prune(tmp_path / "cache")[0]) and time.monotonic() < end:
        time.sleep(0.01)
    assert len(gone) == 1


def test_a_runner_that_is_killed_is_noticed(tmp_path: Path, data_root: Path) -> None:
    process = _start_runner(tmp_path, data_root)
    jobs = store(tmp_path)
    job_id = _wait_until_started(jobs)
    process.kill()
    process.communicate(timeout=20)
    record = jobs.reconcile(jobs.load(job_id))
    assert record.status == JobStatus.RUNNING  # the action itself lives on
    assert record.pid is not None
    os.killpg(record.pid, signal.SIGKILL)
    end = time.monotonic() + 10
    while jobs.reconcile(jobs.load(job_id)).status == JobStatus.RUNNING and time.monotonic() < end:
        time.sleep(0.05)
    record = jobs.load(job_id)
    assert record.status == JobStatus.ERROR
    assert json.loads((jobs.folder(job_id) / "job.json").read_text())["status"] == "ERROR"


def _canceled_on_update(tmp_path: Path, data_root: Path, status: JobStatus, action: str) -> JobRecord:
    """Resume a job whose `jobs cancel` comes just before its runner writes down a status, and return its record."""
    broken = run(request(tmp_path, data_root), command_for=script(tmp_path, CRASH))
    jobs = store(tmp_path)
    update = jobs.update

    def late(job: str, **fields: Any) -> Any:
        if fields.get("status") == status:
            JobStore(jobs.root).update(broken.job_id, status=JobStatus.CANCELED, reason="canceled by `jobs cancel`")
        return update(job, **fields)

    jobs.update = late  # type: ignore[method-assign, assignment]
    ended = resume_job(jobs, broken.job_id, command_for=script(tmp_path, action))
    assert ended.status == JobStatus.CANCELED
    return store(tmp_path).load(broken.job_id)


def test_a_cancel_that_comes_while_the_action_starts_holds(tmp_path: Path, data_root: Path) -> None:
    ended = _canceled_on_update(tmp_path, data_root, JobStatus.RUNNING, SLEEP)
    assert [step.to_status for step in ended.transitions][-2:] == ["PENDING", "CANCELED"]


def test_of_two_that_resume_a_job_one_trains(tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = run(request(tmp_path, data_root), command_for=script(tmp_path, CRASH))
    stage = resume.stage_inputs

    def slowly(*words: Any) -> Any:
        """Stage, while another process resumes the job."""
        monkeypatch.setattr(resume, "stage_inputs", stage)
        store(tmp_path).update(broken.job_id, status=JobStatus.PENDING, host="elsewhere", runner_pid=1)
        return stage(*words)

    monkeypatch.setattr(resume, "stage_inputs", slowly)
    with pytest.raises(JobError, match=r"is PENDING: there is nothing to resume.* on elsewhere"):
        resume_job(store(tmp_path), broken.job_id, command_for=script(tmp_path, SUCCEED))
    assert store(tmp_path).load(broken.job_id).runner_pid == 1


def test_a_signed_link_that_never_was_here_is_named(tmp_path: Path, data_root: Path) -> None:
    broken = run(request(tmp_path, data_root), command_for=script(tmp_path, CRASH))
    key = "model.pretrained_trunk_path"
    jobs = store(tmp_path)
    spec = jobs.load(broken.job_id).spec
    spec["model"]["pretrained_trunk_path"] = "https://h/weights.pth?hidden"
    jobs.update(broken.job_id, spec=spec)
    with pytest.raises(JobError, match="broke off before") as caught:
        resume_job(jobs, broken.job_id)
    assert [problem.key for problem in caught.value.problems] == [key]
    assert f"{key}=LINK" in caught.value.next_step
    (Path(broken.results_dir) / "train" / "spec.yaml").unlink()
    with pytest.raises(JobError, match="broke off before"):
        resume_job(jobs, broken.job_id)


def test_a_cancel_that_comes_when_the_action_has_ended_holds(tmp_path: Path, data_root: Path) -> None:
    assert _canceled_on_update(tmp_path, data_root, JobStatus.COMPLETE, SUCCEED).exit_code == 0
