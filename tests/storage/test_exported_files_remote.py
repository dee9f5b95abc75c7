"""An exported model whose jobs worked on another machine."""

import json
from pathlib import Path
from typing import Any

import pytest

from tao_skill.jobs.record import JobRecord
from tao_skill.run.exported_files import exported_files
from tao_skill.run.parent_job import find_parent
from tao_skill.run.results_root import open_store
from tao_skill.storage.stage import stage

ELSEWHERE = "/home/somebody/results"


def test_files_of_another_machine_are_found_where_its_jobs_uploaded_them(
    bucket: str, s3_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAO_SKILL_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TAO_SKILL_CACHE", str(tmp_path / "cache"))
    report = {
        "source": f"{ELSEWHERE}/t/train/model_best.pth",
        "onnx_file": f"{ELSEWHERE}/e/export/model.onnx",
        "int8_file": f"{ELSEWHERE}/e/export/model.int8.onnx",
    }
    objects = {
        "t/train/model_best.pth": b"weights",
        "e/export/model.onnx": b"onnx",
        "e/export/model.int8.onnx": b"int8",
        "e/export/export.json": json.dumps(report).encode(),
    }
    for job, action, parent in (("t", "train", None), ("e", "export", "t")):
        record = JobRecord(
            job_id=job,
            skill="tao-train-metric-learning-recognition",
            action=action,
            status="COMPLETE",  # type: ignore[arg-type]
            parent_job=parent,
            results_dir=f"{ELSEWHERE}/{job}",
        )
        objects[f"{job}/job.json"] = json.dumps(record.document()).encode()
    client = s3_server.client()
    for name, body in objects.items():
        client.put_object(Bucket=bucket[5:], Key=f"results/{name}", Body=body)
    for asked in ("e", f"{bucket}/results/e"):
        _, files = exported_files(open_store(f"{bucket}/results"), asked)
        assert files == {
            "checkpoint": f"{bucket}/results/t/train/model_best.pth",
            "onnx": f"{bucket}/results/e/export/model.onnx",
            "int8": f"{bucket}/results/e/export/model.int8.onnx",
        }
    assert stage(files["int8"]).read_bytes() == b"int8"
    assert stage(files["int8"]).name == "model.int8.onnx"


def test_a_program_that_knows_no_folder_of_its_action_left_its_model_in_the_jobs(  # R70
    bucket: str, s3_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAO_SKILL_STATE", str(tmp_path / "state"))
    record = JobRecord(
        job_id="f", skill="another-bank", action="train", status="COMPLETE",  # type: ignore[arg-type]
        results_dir=f"{ELSEWHERE}/f",
    )  # fmt: skip
    client = s3_server.client()
    for name, body in (("job.json", json.dumps(record.document()).encode()), ("model.pth", b"weights")):
        client.put_object(Bucket=bucket[5:], Key=f"others/f/{name}", Body=body)
    files = find_parent(open_store(f"{bucket}/others"), "f", force=False)
    assert [files.place(one.path) for one in files.candidates] == [f"{bucket}/others/f/model.pth"]
