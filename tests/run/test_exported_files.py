"""The files of an exported model, by the job that made them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tao_skill.errors import JobError
from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import JobStore
from tao_skill.run.exported_files import exported_files


def write_job(root: Path, job_id: str, action: str, files: dict[str, bytes], **more: Any) -> Path:
    """Write a complete job with files in its action's folder, and return that folder."""
    folder = root / job_id / action
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    record = JobRecord(
        job_id=job_id,
        skill="tao-train-metric-learning-recognition",
        action=action,
        results_dir=str(root / job_id),
        **({"status": "COMPLETE"} | more),
    )
    (root / job_id / "job.json").write_text(json.dumps(record.document()))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a results root with a training, its export, and an engine built from that."""
    trained = write_job(tmp_path, "t", "train", {"model_best.pth": b"w"})
    report = {"source": str(trained / "model_best.pth"), "onnx_file": str(tmp_path / "e/export/model.onnx")}
    report["int8_file"] = str(tmp_path / "e/export/model.int8.onnx")
    files = {"export.json": json.dumps(report).encode(), "model.onnx": b"o", "model.int8.onnx": b"i"}
    write_job(tmp_path, "e", "export", files, parent_job="t")
    engine = {"gen_trt_engine": {"trt_engine": str(tmp_path / "g/gen_trt_engine/model.engine")}}
    write_job(tmp_path, "g", "gen_trt_engine", {"model.engine": b"x"}, parent_job="e", spec=engine)
    return tmp_path


def test_export_and_engine_jobs_name_their_files(root: Path) -> None:
    record, files = exported_files(JobStore(root), "e")
    assert record.job_id == "e"
    assert {kind: str(Path(path).relative_to(root)) for kind, path in files.items()} == {
        "checkpoint": "t/train/model_best.pth",
        "onnx": "e/export/model.onnx",
        "int8": "e/export/model.int8.onnx",
    }
    record, files = exported_files(JobStore(root), "g")
    assert (record.job_id, Path(files["engine"]).name, Path(files["onnx"]).name) == ("g", "model.engine", "model.onnx")


def test_what_can_not_be_compared_is_told(root: Path) -> None:
    with pytest.raises(JobError, match="job of train, which makes no ONNX file"):
        exported_files(JobStore(root), "t")
    (root / "t/train/model_best.pth").unlink()
    (root / "e/export/model.int8.onnx").unlink()
    with pytest.raises(JobError, match="are gone") as raised:
        exported_files(JobStore(root), "e")
    assert {problem.key for problem in raised.value.problems} == {"checkpoint", "int8"}
    write_job(root, "f", "export", {}, status="ERROR")
    with pytest.raises(JobError, match="is ERROR, not COMPLETE"):
        exported_files(JobStore(root), "f")
