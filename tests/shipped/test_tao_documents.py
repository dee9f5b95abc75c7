"""TAO's documents against the packaged schemas, wherever a name means the same on both sides.

The documents below are made up; their names and types are those of TAO's own: the job record and the best
recommendation of its skill bank, and the rows and the metadata that its SDK's virtualenv platform keeps of a job.
"""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tao_skill.automl.documents import best_rec
from tao_skill.automl.history import Report, SearchHistory, Trial

SCHEMAS = Path(__file__).parents[2] / "schemas"
BEST_REC: dict[str, Any] = {
    "schema_version": 1,
    "experiment_id": "bottles-hpo-2",
    "metric_name": "val Precision at Rank 1",
    "direction": "maximize",
    "best": {
        "rec_id": "rec_004",
        "score": 0.81,
        "specs": {"train": {"optim": {"trunk": {"base_lr": 0.0004}}}},
        "observed_budget": {"num_epochs": 12},
        "checkpoint_uri": "/results/bottles-hpo-2/rec_004/model_epoch_011_step_00480.pth",
        "checkpoint_epoch": 11,
        "checkpoint_step": 480,
    },
    "all_recs": [
        {"rec_id": "rec_003", "score": None},
        {"rec_id": "rec_004", "score": 0.81, "job_id": "ml-recog-train-77aa01"},
    ],
}
JOB_RECORD: dict[str, Any] = {
    "schema_version": 1,
    "id": "ml-recog-train-77aa01",
    "platform": "virtualenv",
    "backend_ref": "pid:4242",
    "image": "none",
    "network_arch": "ml_recog",
    "action": "train",
    "results_dir": "/results/ml-recog-train-77aa01",
    "storage_tier": "A",
    "submitted_at": "2026-03-02T10:00:00+00:00",
    "transitions": [{"ts": "2026-03-02T10:00:00+00:00", "state": "PENDING", "message": "opened", "source": "agent"}],
    "terminal_state": None,
    "parent_job": "ml-recog-train-000000",
    "redacted": True,
}
SDK_JOB: dict[str, Any] = {
    "job_id": "5c0f4c1e-2f0b-4b6e-8f1e-0f6f0a4b7c11",
    "network_arch": "ml_recog",
    "action": "train",
    "workspace_id": "local",
    "backend_type": "virtualenv",
    "backend_job_id": "4242",
    "status": "Complete",
    "parent_job_id": None,
    "image": "",
    "specs": {"train": {"num_epochs": 1}},
    "results_dir": "/work/jobs/5c0f/results",
    "local_results_dir": "/work/jobs/5c0f/results",
    "base_checkpoint": "",
    "plan_id": "",
    "step_id": 0,
    "last_epoch": 0,
    "created_at": "2026-03-02T10:00:00.123456+00:00",
    "updated_at": "2026-03-02T10:03:00.123456+00:00",
}
SDK_METADATA: dict[str, Any] = {
    "job_id": "5c0f4c1e-2f0b-4b6e-8f1e-0f6f0a4b7c11",
    "status": "Complete",
    "pid": 4242,
    "process_start_marker": "linux:12345",
    "return_code": 0,
    "message": "Job completed",
    "results_dir": "/work/jobs/5c0f/results",
    "log_path": "/work/jobs/5c0f/logs/job.log",
    "upload_excludes": [],
    "gpu_count": 0,
}
# Under these names the two sides keep other things: a change of state has ts, state, message, source there.
OTHER_MEANING = {"transitions"}


def same_names(document: dict[str, Any], schema: str) -> list[str]:
    """Check each name that both sides have, and return the names."""
    packaged = json.loads((SCHEMAS / f"{schema}.schema.json").read_text())
    names = [name for name in document if name in packaged["properties"] and name not in OTHER_MEANING]
    for name in names:
        part = packaged["properties"][name] | {"$defs": packaged.get("$defs", {})}
        jsonschema.Draft202012Validator(part).validate(document[name])
    return sorted(names)


def test_its_best_recommendation_is_ours_too() -> None:
    schema = json.loads((SCHEMAS / "best_rec.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(BEST_REC)


def test_our_best_recommendation_has_its_form() -> None:
    trial = Trial(
        number=0, job_id="hpo-t000", origin="baseline", values={"train.optim.trunk.base_lr": 0.0004}, epochs=3,
        state="complete", reports=[Report(epoch=3, value=0.5)], best_value=0.5, best_epoch=3,
    )  # fmt: skip
    history = SearchHistory.model_construct(
        job_id="hpo", metric="val Precision at Rank 1", direction="maximize", winner=0, trials=[trial]
    )
    document = best_rec(history, {0: "/results/hpo-t000/train/model_epoch_002.pth"}).model_dump(mode="json")
    assert document.keys() == BEST_REC.keys()
    assert BEST_REC["best"].keys() - document["best"].keys() == {"checkpoint_epoch", "checkpoint_step"}  # optional
    assert document["best"]["specs"] == {"train": {"optim": {"trunk": {"base_lr": 0.0004}}}}
    assert document["all_recs"][0].keys() == BEST_REC["all_recs"][1].keys()


@pytest.mark.parametrize(
    ("document", "schema", "names"),
    [
        (JOB_RECORD, "job_record", ["action", "parent_job", "results_dir", "schema_version"]),
        (SDK_JOB, "job_record", ["action", "created_at", "job_id", "results_dir", "status", "updated_at"]),
        (SDK_JOB, "results", ["action", "job_id", "results_dir", "status"]),
        (SDK_METADATA, "job_record", ["job_id", "pid", "results_dir", "status"]),
        (SDK_METADATA, "results", ["job_id", "results_dir", "status"]),
    ],
    ids=["job record", "SDK job", "SDK job as result", "SDK metadata", "SDK metadata as result"],
)
def test_names_that_both_sides_have(document: dict[str, Any], schema: str, names: list[str]) -> None:
    assert same_names(document, schema) == names
