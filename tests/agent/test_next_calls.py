"""The calls that answers suggest can be made as they stand: they keep the results root, the skill and the data."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tao_skill.agent.call import call_tool
from tao_skill.agent.desk import Desk
from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.bank.skill import DEFAULT_SKILL
from tao_skill.jobs.record import JobRecord, JobStatus, RecordedError
from tao_skill.jobs.store import JobStore
from tao_skill.run.search_files import save_history

TABLE = "data/metric_learning_recognition/retail-product-checkout-dataset_classification_demo/known_classes"
OTHER = "my-recogniser"


@pytest.fixture
def bank(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a bank in which a second skill stands beside the recognition skill."""
    source = Path(__file__).parents[2]
    root = folder / "bank"
    for name in (DEFAULT_SKILL, OTHER):
        shutil.copytree(source / "skills" / DEFAULT_SKILL, root / "skills" / name)
    for path in (root / "skills" / OTHER).rglob("*"):
        if path.suffix in (".md", ".yaml", ".json"):
            path.write_text(path.read_text().replace(DEFAULT_SKILL, OTHER))
    monkeypatch.setenv("TAO_SKILL_BANK_PATH", str(root))
    return root


@pytest.fixture
def trained(folder: Path) -> dict[str, Any]:
    """Return what names a training in a results root that is not the default."""
    where = folder / "b" / "trained"
    (where / "train").mkdir(parents=True)
    (where / "train" / "model_epoch_000_step_00001.pth").write_bytes(b"\x80\x02weights")
    store = JobStore(folder / "b")
    store.create(JobRecord(job_id="trained", skill=DEFAULT_SKILL, action="train", results_dir=str(where)))
    for status in (JobStatus.RUNNING, JobStatus.COMPLETE):
        store.update("trained", status=status)
    return {"job_id": "trained", "results_root": str(folder / "b")}


def follow(answer: dict[str, Any], desk: Desk, **more: Any) -> dict[str, Any]:
    """Make the call that an answer suggests."""
    call = answer["next_call"]
    reply = call_tool(call["tool"], call["arguments"] | more, desk)
    assert not reply.failed, (call, reply.document)
    return reply.document


def test_from_status_to_the_plan_of_an_evaluation(trained: dict[str, Any], desk: Desk) -> None:
    result = follow(call_tool("status", trained, desk).document, desk)
    assert result["next_call"]["arguments"]["results_root"] == trained["results_root"]
    plan = follow(result, desk, data_root="data")
    assert plan["parent_job"] == "trained"
    assert plan["next_call"]["arguments"]["results_root"] == trained["results_root"]


def test_errors_keep_the_place_but_not_what_was_wrong(trained: dict[str, Any], desk: Desk) -> None:
    JobStore(trained["results_root"]).create(
        JobRecord(
            job_id="failed", skill=DEFAULT_SKILL, action="train", results_dir=f"{trained['results_root']}/failed",
            status=JobStatus.ERROR, error={"code": "job_error", "message": "It broke off."},
        )
    )  # fmt: skip
    job = call_tool("status", trained | {"job_id": "failed"}, desk).document["jobs"][0]
    assert job["error"]["next_call"]["arguments"] == trained | {"job_id": "failed"}
    missing = call_tool("logs", trained | {"job_id": "none"}, desk).document["error"]
    assert {one["job_id"] for one in follow(missing, desk)["jobs"]} == {"trained", "failed"}
    outside = call_tool("status", {"results_root": "/etc"}, desk).document["error"]
    assert follow(outside, desk)["jobs"] == []


@pytest.mark.usefixtures("bank")
def test_the_skill_is_kept(desk: Desk) -> None:
    asked = {"action": "train", "skill": OTHER}
    spec = {"train": {"num_epoch": 3}}
    checked = call_tool("check_spec", asked | {"spec": spec}, desk).document
    assert checked["next_call"]["arguments"]["skill"] == OTHER
    assert follow(checked, desk)["total"] > 50
    refused = call_tool("plan", asked | {"data_root": "data", "overrides": spec}, desk).document["error"]
    assert (refused["next_call"]["tool"], refused["next_call"]["arguments"]["skill"]) == ("show_schema", OTHER)
    unknown = call_tool("plan", asked | {"skill": "none"}, desk).document["error"]
    assert follow(unknown, desk)["skills"]


def test_data_that_were_named_one_by_one_are_planned_with(desk: Desk) -> None:
    sets = {"train": f"{TABLE}/train.tar.gz", "reference": f"{TABLE}/reference.tar.gz", "query": f"{TABLE}/val.tar.gz"}
    found = call_tool("check_data", sets, desk).document
    plan = follow(found, desk, automl_policy="off")
    assert set(plan["inputs"]) >= {"dataset.train_dataset", "dataset.val_dataset.reference"}
    below = call_tool("check_data", {"data_root": "data", "action": "evaluate"}, desk).document
    assert below["next_call"]["arguments"] == {"action": "evaluate", "data_root": "data"}


def test_a_suggested_call_leaves_out_what_was_wrong(desk: Desk, trained: dict[str, Any]) -> None:
    arguments = {"action": "evaluate", "data_root": "data", "parent_job_id": trained["job_id"]}
    wrong = arguments | {"results_root": trained["results_root"], "parent_checkpoint": "newest"}
    told = call_tool("plan", wrong, desk).document["error"]
    assert told["problems"][0]["key"] == "parent_checkpoint"
    assert "newest" not in str(told["next_call"])


def test_a_trial_that_failed_is_its_searchs_to_go_on_with(desk: Desk, folder: Path) -> None:
    store = JobStore(folder / "results")
    for job_id, parent in (("s", None), ("s-t000", "s")):
        where = folder / "results" / job_id
        (where / "train").mkdir(parents=True)
        store.create(
            JobRecord(job_id=job_id, skill=DEFAULT_SKILL, action="train", parent_job=parent, results_dir=str(where))
        )
        store.update(job_id, status=JobStatus.RUNNING)
        error = RecordedError(code="job_error", message="it broke", next_step="")
        store.update(job_id, status=JobStatus.ERROR, error=error.model_dump())
    history = SearchHistory(
        job_id="s", skill=DEFAULT_SKILL, skill_dir="", algorithm="random", metric="m", direction="maximize",
        full_epochs=1, settings={}, space=[], started_at="2026-01-01T00:00:00Z",
        trials=[Trial(number=0, job_id="s-t000", origin="baseline", values={}, epochs=1, state="failed")],
    )  # fmt: skip
    save_history(folder / "results" / "s" / "train", history)
    told = call_tool("result", {"job_id": "s-t000"}, desk).document
    assert told["next_call"] == {
        "tool": "resume", "arguments": {"job_id": "s"}, "why": "the search that it is a trial of goes on",
    }  # fmt: skip
    store.update("s", status=JobStatus.PENDING)
    assert call_tool("result", {"job_id": "s-t000"}, desk).document["next_call"]["tool"] == "logs"
