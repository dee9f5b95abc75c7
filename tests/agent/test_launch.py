"""A job is started once for each key: by repeated calls, by calls at the same time, and after crashes."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tao_skill.agent.call import call_tool
from tao_skill.agent.desk import Desk
from tao_skill.bank.skill import find_skill
from tao_skill.jobs.identity import is_alive
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.detach import FIRST, claim, job_id_of, next_attempt

# The real evaluation, on an installation without torch: it starts, and soon fails.
EVALUATE = {"action": "evaluate", "data_root": "data", "overrides": {"evaluate.checkpoint": "c.pth"}}


@pytest.fixture(autouse=True)
def _no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "torch.py").write_text("raise ModuleNotFoundError('no torch here', name='torch')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "shadow"))


def call(name: str, arguments: dict[str, Any], desk: Desk) -> dict[str, Any]:
    reply = call_tool(name, arguments, desk)
    assert not reply.failed, reply.document
    return reply.document


def starts(folder: Path, job_id: str) -> int:
    record = JobStore(folder / "results").load(job_id)
    return sum(step.to_status == JobStatus.RUNNING for step in record.transitions)


def wait_for_end(job_id: str, desk: Desk) -> dict[str, Any]:
    job: dict[str, Any] = call("status", {"job_id": job_id, "wait_seconds": 120}, desk)["jobs"][0]
    assert job["ended"], job
    return job


def test_a_job_is_followed_to_its_end(desk: Desk, folder: Path) -> None:
    begin = time.monotonic()
    answer = call("run", EVALUATE | {"idempotency_key": "one"}, desk)
    assert answer["started"]
    job = answer["jobs"][0]
    assert job["job_id"] == job_id_of("one")
    assert answer["next_call"]["tool"] == "status"
    assert answer["next_call"]["arguments"]["wait_seconds"] < 50  # many clients give up after 60 s
    assert time.monotonic() - begin < 60  # returned before the job's own limit, not after its end
    assert not call("run", EVALUATE | {"idempotency_key": "one"}, desk)["started"]
    ended = wait_for_end(job["job_id"], desk)
    assert ended["status"] == "ERROR"
    assert ended["error"]["code"] == "not_available"
    again = call("run", EVALUATE | {"idempotency_key": "one"}, desk)
    assert not again["started"]
    assert again["jobs"][0]["status"] == "ERROR"
    assert starts(folder, job["job_id"]) == 1
    result = call("result", {"job_id": job["job_id"]}, desk)
    assert result["error"]["next_call"]["tool"] == "logs"
    assert "evaluate/log.txt" in {one["path"] for one in result["files"]}
    assert call("cancel", {"job_id": job["job_id"]}, desk)["jobs"][0]["status"] == "ERROR"


def test_another_request_under_the_same_key_is_refused(desk: Desk) -> None:
    call("run", EVALUATE | {"idempotency_key": "same"}, desk)
    for change in ({"data_root": "./data"}, {"action": "inference"}, {"overrides": {}}):
        reply = call_tool("run", EVALUATE | {"idempotency_key": "same"} | change, desk)
        assert reply.document["error"]["code"] == "key_conflict"
        assert set(change) <= {one["key"] for one in reply.document["error"]["problems"]}
        assert "idempotency_key" not in reply.document["error"]["next_call"]["arguments"]
    wait_for_end(job_id_of("same"), desk)


def test_a_refused_run_leaves_nothing_and_its_key_free(desk: Desk, folder: Path) -> None:
    wrong = EVALUATE | {"idempotency_key": "free", "overrides": {"evaluate.checkpoint": "none.pth"}}
    assert call_tool("run", wrong, desk).document["error"]["code"] == "spec_error"
    assert not (folder / "results").exists()
    assert call("run", EVALUATE | {"idempotency_key": "free"}, desk)["started"]
    wait_for_end(job_id_of("free"), desk)


def test_a_call_waits_for_no_image_and_the_job_reads_them_all(
    desk: Desk, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH")
    bad = next((folder / "data").rglob("unknown_classes/test.tar.gz/cat/*.png"))
    bad.write_bytes(b"no image")
    assert call("run", EVALUATE | {"idempotency_key": "images"}, desk)["started"]
    ended = wait_for_end(job_id_of("images"), desk)
    assert ended["status"] == "ERROR"
    assert str(bad) in {one["key"] for one in ended["error"]["problems"]}


def test_calls_at_the_same_time_start_one_job(desk: Desk, folder: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: call("run", EVALUATE | {"idempotency_key": "race"}, desk), range(6)))
    assert sum(answer["started"] for answer in answers) == 1
    assert len({answer["jobs"][0]["job_id"] for answer in answers}) == 1
    job_id = answers[0]["jobs"][0]["job_id"]
    wait_for_end(job_id, desk)
    assert starts(folder, job_id) == 1
    assert len(list((folder / "results" / job_id).glob(".claim-start*"))) == 1


@pytest.mark.parametrize(
    "place", ["tao_skill.agent.launch._create", "tao_skill.run.detach.detach", "tao_skill.run.detach._first_line"]
)
def test_a_call_that_died_on_the_way_is_made_good_by_the_next(desk: Desk, folder: Path, place: str) -> None:
    """The process that was asked dies before the record, before the start, or while it waits for the claim."""
    module, _, name = place.rpartition(".")
    program = f"""
        import json, os, sys, {module} as module
        from tao_skill.agent.call import call_tool
        from tao_skill.agent.desk import Desk
        def die(*_a, **_k):
            os._exit(9)
        module.{name} = die
        call_tool("run", json.loads(sys.argv[1]), Desk.of(["."]))
    """
    arguments = EVALUATE | {"idempotency_key": "crash"}
    words = [sys.executable, "-c", textwrap.dedent(program), json.dumps(arguments)]
    assert subprocess.run(words, cwd=folder, check=False).returncode == 9
    job_id = job_id_of("crash")
    if name == "detach":  # somebody looks in between, and sees a job that nobody works on
        assert call("status", {"job_id": job_id}, desk)["jobs"][0]["status"] == "ERROR"
    call("run", arguments, desk)
    wait_for_end(job_id, desk)
    assert starts(folder, job_id) == 1


def test_an_attempt_that_the_job_has_moved_on_from_is_taken_by_nobody(folder: Path) -> None:
    store = JobStore(folder / "results")
    skill = find_skill().name
    record = store.create(JobRecord(job_id="j", skill=skill, action="train", results_dir=str(folder / "results" / "j")))
    store.update("j", status=JobStatus.ERROR)
    attempt = next_attempt(store.load("j"))
    assert claim(store, "j", attempt)
    assert not claim(store, "j", FIRST)  # a first runner that comes late
    store.update("j", status=JobStatus.PENDING)
    assert not claim(store, "j", attempt)
    assert record.status == JobStatus.PENDING


def test_a_job_outlives_whoever_asked_and_can_be_canceled_while_it_waits_for_data(desk: Desk, folder: Path) -> None:
    """A pipe stands for data that take for ever: the runner waits, no action has begun."""
    archive = folder / "slow.tar.gz"
    os.mkfifo(archive)
    data = {"dataset.val_dataset.reference": str(archive), "dataset.val_dataset.query": str(archive)}
    arguments = {
        "action": "evaluate",
        "idempotency_key": "slow",
        "overrides": {"evaluate.checkpoint": "c.pth"} | data,
    }
    words = [sys.executable, "-m", "tao_skill", "call", "run", json.dumps(arguments)]
    asked = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert asked.returncode == 0, asked.stdout
    job_id = job_id_of("slow")
    record = JobStore(folder / "results").load(job_id)
    assert is_alive(record.runner_pid, record.runner_start_time)
    assert call("status", {"job_id": job_id}, desk)["jobs"][0]["status"] == "PENDING"
    assert call("cancel", {"job_id": job_id}, desk)["jobs"][0]["status"] == "CANCELED"
    assert not is_alive(record.runner_pid, record.runner_start_time)


def test_a_runner_that_was_killed_is_noticed_and_not_started_again(desk: Desk, folder: Path) -> None:
    call("run", EVALUATE | {"idempotency_key": "killed"}, desk)
    job_id = job_id_of("killed")
    record = JobStore(folder / "results").load(job_id)
    assert record.runner_pid is not None
    os.killpg(record.runner_pid, signal.SIGKILL)
    wait_for_end(job_id, desk)
    again = call("run", EVALUATE | {"idempotency_key": "killed"}, desk)
    assert not again["started"]
    assert starts(folder, job_id) <= 1


def test_a_signed_link_is_written_nowhere(folder: Path) -> None:
    wide = Desk.of([str(folder), "http://127.0.0.1"])
    link = "http://127.0.0.1:9/model.pth?X-Amz-Signature=topsecret"
    arguments = EVALUATE | {"idempotency_key": "link", "overrides": {"evaluate.checkpoint": link}}
    reply = call_tool("run", arguments, wide)
    assert "topsecret" not in json.dumps(reply.document)
    for path in folder.rglob("*"):
        assert path.is_dir() or b"topsecret" not in path.read_bytes()


def test_an_encryption_key_is_written_nowhere(desk: Desk, folder: Path) -> None:
    overrides = EVALUATE["overrides"] | {"encryption_key": "topsecret"}
    arguments = EVALUATE | {"idempotency_key": "secret", "overrides": overrides}
    call("run", arguments, desk)
    wait_for_end(job_id_of("secret"), desk)
    assert not call("run", arguments, desk)["started"]
    kept = json.loads((folder / "results" / job_id_of("secret") / "request.json").read_text())
    assert kept["overrides"] == [overrides | {"encryption_key": "***"}]
    for path in (folder / "results").rglob("*"):
        assert path.is_dir() or b"topsecret" not in path.read_bytes()


def test_a_request_is_kept_where_there_are_no_hard_links(
    desk: Desk, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert call("run", EVALUATE | {"idempotency_key": "plain"}, desk)["started"]
    assert not call("run", EVALUATE | {"idempotency_key": "plain"}, desk)["started"]
    other = call_tool("run", EVALUATE | {"idempotency_key": "plain", "overrides": {}}, desk)
    assert other.document["error"]["code"] == "key_conflict"
    wait_for_end(job_id_of("plain"), desk)
    monkeypatch.setattr("tao_skill.run.detach._WRITING_SECONDS", 0.1)
    (folder / "results" / job_id_of("plain") / "request.json").write_text('{"action": ')
    half = call_tool("run", EVALUATE | {"idempotency_key": "plain"}, desk)
    assert half.document["error"]["code"] == "job_error"


def test_a_record_that_names_a_folder_of_programs_is_not_gone_on_with(desk: Desk, folder: Path) -> None:
    store = JobStore(folder / "results")
    results = str(folder / "results" / "j")
    skill = find_skill().name
    store.create(JobRecord(job_id="j", skill=skill, skill_dir=str(folder), action="train", results_dir=results))
    store.update("j", status=JobStatus.ERROR)
    reply = call_tool("resume", {"job_id": "j"}, desk)
    assert reply.document["error"]["code"] == "not_allowed"
    assert [problem["key"] for problem in reply.document["error"]["problems"]] == ["skill"]


def test_a_job_that_is_resumed_has_not_ended(desk: Desk, folder: Path) -> None:
    """Its process has it from the first moment: it can be waited for, and asked for again without a second start."""
    store, skill = JobStore(folder / "results"), find_skill()
    spec = skill.template("train") | {"results_dir": str(folder / "results" / "j")}
    where = folder / "results" / "j"
    store.create(JobRecord(job_id="j", skill=skill.name, action="train", results_dir=str(where), spec=spec))
    store.update("j", status=JobStatus.RUNNING)
    store.update("j", status=JobStatus.ERROR)
    answer = call("resume", {"job_id": "j"}, desk)
    assert (answer["started"], answer["jobs"][0]["ended"]) == (True, False)
    assert answer["next_call"]["tool"] == "status"
    again = call("resume", {"job_id": "j"}, desk)
    assert not again["started"]
    end = time.monotonic() + 60
    while not store.load("j").ended and time.monotonic() < end:
        time.sleep(0.1)
    record = store.load("j")
    assert record.error is not None
    assert (record.status, record.error.code) == (JobStatus.ERROR, "not_available")  # no torch
