"""Searches whose results are on a server: what is there when they fail, and when their machine is lost."""

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tao_skill.cli.main import main
from tao_skill.errors import JobError
from tao_skill.jobs.record import JobStatus
from tao_skill.run.launch_search import resume_search
from tao_skill.run.parent_job import find_parent
from tao_skill.run.request import RunRequest
from tao_skill.run.results_root import open_store
from tao_skill.run.runner import run
from tao_skill.storage.small import list_objects, read_bytes

ROOT = Path(__file__).parents[2]
_SPEC = importlib.util.spec_from_file_location("tiny_skill", ROOT / "tests" / "automl" / "conftest.py")
assert _SPEC is not None
assert _SPEC.loader is not None
tiny_skill = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tiny_skill)
RUNNER = """
import sys
from tao_skill.run.request import RunRequest
from tao_skill.run.runner import run
run(RunRequest.model_validate_json(sys.argv[1]))
"""


@pytest.fixture
def asked(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunRequest:
    monkeypatch.setenv("TAO_SKILL_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TAO_SKILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TAO_SKILL_UPLOAD_SECONDS", "0.2")
    monkeypatch.delenv("TAO_RESULTS_ROOT", raising=False)
    return RunRequest(
        action="train", skill=str(tiny_skill.make_skill(tmp_path / "tiny-skill")), results_root=f"{bucket}/results",
        automl=[{"automl_algorithm": "random", "automl_max_recommendations": 3, "automl_max_concurrent": 1}],
    )  # fmt: skip


def names(request: RunRequest) -> list[str]:
    return [one.name for one in list_objects(str(request.results_root))]


def ended_there(request: RunRequest) -> bool:
    """Say whether the server has the first trial's checkpoint, and its record as it ended."""
    there = [name for name in names(request) if "-t000/" in name]
    record = next((name for name in there if name.endswith("job.json")), None)
    if record is None or not any(name.endswith("train/model_epoch_003.pth") for name in there):
        return False
    return bool(json.loads(read_bytes(f"{request.results_root}/{record}") or b"")["status"] == "COMPLETE")


def elsewhere(request: RunRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, verb: str) -> Any:
    """Return what another machine is told of the search."""
    monkeypatch.setenv("TAO_SKILL_STATE", str(tmp_path / "other"))
    [job_id] = {name.partition("/")[0] for name in names(request) if name.endswith("search_history.json")}
    assert main(["automl", verb, job_id, "--results-root", str(request.results_root), "--json"]) == 0
    assert not (tmp_path / "other").exists()
    return json.loads(capsys.readouterr().out)


def test_a_search_that_fails_leaves_its_trials_on_the_server(
    asked: RunRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    with pytest.raises(JobError, match="without a trial"):
        run(asked.model_copy(update={"overrides": ["fail=memory", "fail_above=0.0"]}))
    records = [name for name in names(asked) if name.endswith("-t000/job.json")]
    assert json.loads(read_bytes(f"{asked.results_root}/{records[0]}") or b"")["status"] == "ERROR"
    assert records[0].replace("job.json", "train/log.txt") in names(asked)
    told = elsewhere(asked, tmp_path, monkeypatch, capsys, "status")
    assert (told["status"], told["trials"], told["best"]) == ("ERROR", 3, None)
    report = elsewhere(asked, tmp_path, monkeypatch, capsys, "report")
    assert "out of memory" in report["history"]["trials"][0]["failure"]["message"]


def test_a_lost_machine_leaves_what_was_found(
    asked: RunRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    slow = asked.model_copy(update={"overrides": ["seconds=1.0"]})
    with subprocess.Popen([sys.executable, "-c", RUNNER, slow.model_dump_json()], cwd=ROOT) as process:
        end = time.monotonic() + 90
        while not ended_there(asked):
            assert time.monotonic() < end
            time.sleep(0.1)
        process.kill()
    assert not any("-t001" in name and name.endswith(".pth") for name in names(asked))
    told = elsewhere(asked, tmp_path, monkeypatch, capsys, "status")
    assert told["best_trial"] == 0
    store = open_store(asked.results_root)
    files = find_parent(store, told["job_id"], force=True)
    assert [candidate.path for candidate in files.candidates] == ["model_epoch_003.pth"]
    with pytest.raises(JobError, match="only there"):
        resume_search(store, told["job_id"])
    assert store.load(f"{told['job_id']}-t000").status == JobStatus.COMPLETE
