"""The typed tools with a results root on a server: this machine's jobs, and those of others."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tao_skill.agent.call import call_tool
from tao_skill.agent.desk import Desk
from tao_skill.bank.skill import DEFAULT_SKILL
from tao_skill.jobs.identity import is_alive
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.run.detach import job_id_of
from tao_skill.run.results_root import open_store

# The real evaluation, on an installation without torch: it starts, and soon fails.
EVALUATE = {"action": "evaluate", "data_root": "data", "overrides": {"evaluate.checkpoint": "c.pth"}}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_sets: Callable[[Path], Path]) -> Path:
    folder = tmp_path / "work"
    small_sets(folder / "data")
    (folder / "c.pth").write_bytes(b"\x80\x02no checkpoint")
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "torch.py").write_text("raise ModuleNotFoundError('no torch here', name='torch')")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "shadow"))
    monkeypatch.setenv("TAO_SKILL_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TAO_SKILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TAO_RESULTS_ROOT", raising=False)
    monkeypatch.delenv("TAO_SKILL_ALLOWED_ROOTS", raising=False)
    return folder


def answer(name: str, arguments: dict[str, Any], desk: Desk) -> dict[str, Any]:
    reply = call_tool(name, arguments, desk)
    assert not reply.failed, reply.document
    return reply.document


def run_to_its_end(desk: Desk, **more: Any) -> str:
    asked = EVALUATE | {"idempotency_key": "one", "wait_seconds": 120} | more
    job = answer("run", asked, desk)["jobs"][0]
    assert (job["ended"], job["error"]["code"]) == (True, "not_available")
    record = open_store(more.get("results_root")).load(job["job_id"])
    while is_alive(record.runner_pid, record.runner_start_time):  # it uploads the job's files
        time.sleep(0.1)
    return record.job_id


def test_the_default_results_root_on_a_server(bucket: str, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAO_RESULTS_ROOT", f"{bucket}/results")
    desk = Desk.of([str(work)])
    assert answer("plan", EVALUATE, desk)["next_call"]["tool"] == "run"
    job_id = run_to_its_end(desk)
    assert answer("logs", {"job_id": job_id}, desk)["lines"]
    assert "evaluate/log.txt" in {one["path"] for one in answer("result", {"job_id": job_id}, desk)["files"]}
    assert [one["job_id"] for one in answer("status", {}, desk)["jobs"]] == [job_id]
    assert answer("cancel", {"job_id": job_id}, desk)["jobs"][0]["status"] == "ERROR"
    assert call_tool("resume", {"job_id": job_id}, desk).document["error"]["code"] == "job_error"


def test_a_root_that_is_allowed_and_named(bucket: str, work: Path) -> None:
    desk = Desk.of([str(work), bucket])
    place = {"results_root": f"{bucket}/results"}
    job_id = run_to_its_end(desk, **place)
    assert answer("result", {"job_id": job_id} | place, desk)["status"] == "ERROR"
    elsewhere = {"job_id": job_id, "results_root": f"{bucket}x/results"}
    assert call_tool("result", elsewhere, desk).document["error"]["code"] == "not_allowed"


def test_a_job_of_another_machine(bucket: str, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAO_RESULTS_ROOT", f"{bucket}/results")
    desk = Desk.of([str(work)])
    job_id = run_to_its_end(desk)
    monkeypatch.setenv("TAO_SKILL_STATE", str(work.parent / "other"))
    desk = Desk.of([str(work)])
    assert answer("status", {"job_id": job_id}, desk)["jobs"][0]["status"] == "ERROR"
    assert answer("logs", {"job_id": job_id}, desk)["lines"]
    result = answer("result", {"job_id": job_id}, desk)
    assert result["results_dir"] == f"{bucket}/results/{job_id}"
    assert "evaluate/log.txt" in {one["path"] for one in result["files"]}
    assert not answer("run", EVALUATE | {"idempotency_key": "one"}, desk)["started"]
    assert call_tool("resume", {"job_id": job_id}, desk).document["error"]["code"] == "job_error"
    assert not (work.parent / "other").exists()


def test_a_record_on_the_server_opens_no_folder_here(
    bucket: str, put: Callable[[str, bytes], str], work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAO_RESULTS_ROOT", f"{bucket}/results")
    private = work.parent / "private"
    (private / "train").mkdir(parents=True)
    (private / "train" / "log.txt").write_text("private words\n")
    (private / "train" / "status.json").write_text(json.dumps({"message": "private words", "epoch": 1}) + "\n")
    job_id = job_id_of("forged")
    record = JobRecord(
        job_id=job_id, skill=DEFAULT_SKILL, action="train", results_dir=str(private), status=JobStatus.RUNNING,
        pid=2**22 + 1, runner_pid=2**22 + 1, process_start_time="0", runner_start_time="0",
    )  # fmt: skip
    put(f"results/{job_id}/job.json", json.dumps(record.document()).encode())
    desk = Desk.of([str(work)])
    for tool in ("status", "logs", "result"):
        said = str(answer(tool, {"job_id": job_id}, desk))
        assert "private" not in said, tool
    assert "private" not in str(answer("status", {}, desk))
