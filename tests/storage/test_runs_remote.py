"""Runs whose data and results are on a server, with a small child process in place of the trainer."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from storage_archives import tar_bytes  # loaded by conftest.py
from storage_fault_proxy import Fault, FaultProxy

from tao_skill.errors import JobError, StorageError
from tao_skill.jobs.record import JobStatus
from tao_skill.run.cancel import cancel_job
from tao_skill.run.make_plan import plan_run
from tao_skill.run.publish import upload_job
from tao_skill.run.request import RunRequest
from tao_skill.run.results_root import open_store
from tao_skill.run.resume import resume_job
from tao_skill.run.runner import run
from tao_skill.storage.small import list_objects, read_bytes

BASE = "data/metric_learning_recognition/retail-product-checkout-dataset_classification_demo"
SUCCEED = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1]).parent
print("epoch 0 done")
(folder / "model_epoch_000.pth").write_bytes(b"w" * 100)
(folder.parent / "inputs").mkdir(); (folder.parent / "inputs" / "staged.jpg").write_bytes(b"x")
(folder / "results.json").write_text(json.dumps({"metrics": {"m": 1.0}, "checkpoint": "c"}))
"""
FAIL = "print('last words'); raise SystemExit(3)"


@pytest.fixture
def put(bucket: str, s3_server: Any, tmp_path: Path, pixel: bytes, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TAO_SKILL_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TAO_SKILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TAO_SKILL_UPLOAD_SECONDS", "0.2")
    monkeypatch.delenv("TAO_RESULTS_ROOT", raising=False)
    client = s3_server.client()
    for part in ("known_classes", "unknown_classes"):
        for name in ("train", "reference", "val", "test"):
            body = tar_bytes({f"{name}/{kind}/{number}.png": pixel for kind in "ab" for number in range(2)})
            client.put_object(Bucket=bucket[5:], Key=f"{BASE}/{part}/{name}.tar.gz", Body=body)
    return client


def start(bucket: str, tmp_path: Path, body: str, *overrides: str, **options: Any) -> Any:
    program = tmp_path / f"{abs(hash(body))}.py"
    program.write_text(body)
    options = {"data_root": f"{bucket}/data", "results_root": f"{bucket}/results"} | options
    request = RunRequest(action="train", automl_policy="off", overrides=list(overrides), **options)
    return run(request, command_for=lambda _action, spec: [sys.executable, str(program), str(spec)])


def names(uri: str) -> set[str]:
    return {one.name for one in list_objects(uri)}


@pytest.mark.usefixtures("put")
def test_results_are_on_the_server_and_the_record_says_so(bucket: str, tmp_path: Path) -> None:
    result = start(bucket, tmp_path, SUCCEED)
    assert result.upload.state == "complete"
    uri = f"{bucket}/results/{result.job_id}"
    files = {"train/spec.yaml", "train/log.txt", "train/model_epoch_000.pth", "train/results.json", "job.json"}
    assert names(uri) == files  # and nothing of inputs/
    document = json.loads(read_bytes(f"{uri}/job.json") or b"")
    assert (document["status"], document["upload"]["state"], document["upload"]["missing"]) == (
        "COMPLETE",
        "complete",
        [],
    )


@pytest.mark.usefixtures("put")
def test_a_failed_job_is_uploaded_too(bucket: str, tmp_path: Path) -> None:  # 8.25
    result = start(bucket, tmp_path, FAIL)
    assert result.status == JobStatus.ERROR
    uri = f"{bucket}/results/{result.job_id}"
    assert {"train/log.txt", "job.json"} <= names(uri)
    assert b"last words" in (read_bytes(f"{uri}/train/log.txt") or b"")
    assert json.loads(read_bytes(f"{uri}/job.json") or b"")["status"] == "ERROR"


@pytest.fixture
def line(s3_server: Any, put: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:  # noqa: ARG001
    monkeypatch.setenv("TAO_SKILL_STORAGE_TIMEOUT", "1")
    monkeypatch.setattr("tao_skill.run.publish._WAITS", (0.0, 0.1))
    with FaultProxy(s3_server.port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


def test_a_lost_connection_at_the_end_loses_nothing(bucket: str, tmp_path: Path, line: FaultProxy) -> None:
    line.plan = lambda one: Fault("refused") if one.method in ("PUT", "POST") and "/train/" in one.target else None
    result = start(bucket, tmp_path, SUCCEED)
    assert (result.status, result.upload.state) == (JobStatus.COMPLETE, "incomplete")
    assert "train/model_epoch_000.pth" in result.upload.missing
    assert f"jobs upload {result.job_id} --results-root {bucket}/results" in result.warnings[-1]
    assert (Path(result.results_dir) / "train" / "model_epoch_000.pth").read_bytes() == b"w" * 100
    assert names(f"{bucket}/results/{result.job_id}") == {"job.json"}
    line.plan = lambda _one: None
    record = upload_job(open_store(f"{bucket}/results"), result.job_id)
    assert record.upload is not None
    assert (record.upload.state, record.upload.missing) == ("complete", [])
    assert "train/model_epoch_000.pth" in names(f"{bucket}/results/{result.job_id}")
    assert not any(name.startswith("inputs/") for name in names(f"{bucket}/results/{result.job_id}"))


@pytest.mark.usefixtures("put")
def test_a_parent_of_another_machine(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # R69, R70
    parent = start(bucket, tmp_path, SUCCEED)
    shutil.rmtree(tmp_path / "state")
    monkeypatch.setenv("TAO_SKILL_STATE", str(tmp_path / "other"))
    child = start(bucket, tmp_path, SUCCEED, parent_job_id=parent.job_id[-6:])
    record = open_store(f"{bucket}/results").load(child.job_id)
    assert record.spec["model"]["pretrained_model_path"] == (
        f"{bucket}/results/{parent.job_id}/train/model_epoch_000.pth"
    )
    local = start(
        bucket, tmp_path, SUCCEED, parent_job_id=f"{bucket}/results/{parent.job_id}", results_root=str(tmp_path / "r")
    )
    assert local.status == JobStatus.COMPLETE
    with pytest.raises(StorageError, match="no bucket"):
        open_store("s3://no-such-bucket-here/results").list()


@pytest.mark.usefixtures("put")
def test_a_look_at_jobs_of_other_machines_writes_nothing(bucket: str, tmp_path: Path, monkeypatch: Any) -> None:
    parent = start(bucket, tmp_path, SUCCEED)
    monkeypatch.setenv("TAO_SKILL_STATE", str(tmp_path / "other"))
    request = RunRequest(
        action="evaluate", data_root=f"{bucket}/data", results_root=f"{bucket}/results", parent_job_id=parent.job_id
    )
    for parent_job in (parent.job_id, parent.job_id[-6:], f"{bucket}/results/{parent.job_id}"):
        plan = plan_run(request.model_copy(update={"parent_job_id": parent_job}))
        assert plan.spec["evaluate"]["checkpoint"].startswith(f"{bucket}/results/{parent.job_id}/train/model")
    store = open_store(f"{bucket}/results")
    assert [record.job_id for record in store.list()] == [parent.job_id]
    for change in (cancel_job, resume_job, upload_job):
        with pytest.raises(JobError, match="only there") as caught:
            change(store, parent.job_id)
        assert f"--parent-job-id {bucket}/results/{parent.job_id} " in caught.value.next_step
    with pytest.raises(JobError, match="only there"):
        store.update(parent.job_id, status=JobStatus.RUNNING)
    with pytest.raises(JobError) as caught:
        store.load("no-such-job")
    assert caught.value.next_step == f"python -m tao_skill jobs list --results-root {bucket}/results"
    assert not (tmp_path / "other").exists()


@pytest.mark.usefixtures("put")
def test_the_bucket_of_the_environment(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_BUCKET_NAME", bucket[5:])
    monkeypatch.chdir(tmp_path)
    result = start(bucket, tmp_path, SUCCEED, data_root="s3:///data", results_root="s3:///")
    assert result.upload.uri == f"{bucket}/{result.job_id}"
    assert "train/model_epoch_000.pth" in names(f"{bucket}/{result.job_id}")
    monkeypatch.delenv("S3_BUCKET_NAME")
    with pytest.raises(StorageError, match="can't be used") as caught:
        start(bucket, tmp_path, SUCCEED, data_root="s3:///data", results_root="s3:///")
    assert all("names no bucket" in problem.expected for problem in caught.value.problems)
    assert [problem.key for problem in caught.value.problems][-1] == "--results-root"


def test_everything_wrong_is_told_at_once(bucket: str, put: Any, s3_server: Any, tmp_path: Path) -> None:
    put.delete_object(Bucket=bucket[5:], Key=f"{BASE}/known_classes/val.tar.gz")
    with pytest.raises(StorageError) as caught:
        start(
            bucket, tmp_path, SUCCEED, "dataset.train_dataset=s3://no-such-bucket-here/train.tar.gz",
            "model.pretrained_model_path=http://127.0.0.1:9/w.pth?token=not-for-eyes", results_root="s3://nor-this-one/results",
        )  # fmt: skip
    problems = {problem.key: problem for problem in caught.value.problems}
    assert "dataset.val_dataset.reference" not in problems, problems["dataset.val_dataset.reference"]
    assert set(problems) == {  # the whole of it
        "dataset.train_dataset", "dataset.val_dataset.query", "model.pretrained_model_path", "--results-root",
    }  # fmt: skip
    assert "no bucket no-such-bucket-here" in problems["dataset.train_dataset"].expected
    assert "can't be reached" in problems["model.pretrained_model_path"].expected
    assert "known_classes/train.tar.gz" in problems["dataset.val_dataset.query"].expected
    assert "not-for-eyes" not in str(caught.value)
    assert not (tmp_path / "state").exists()
    assert not list((tmp_path / "cache").rglob("*.part"))
    assert s3_server.name


SECRETS = ("tests-secret-key-0123456789", "planted-session-token", "planted-signature")


@pytest.mark.long
def test_no_secret_is_written_anywhere(  # noqa: PLR0917
    bucket: str, put: Any, s3_server: Any, tmp_path: Path, web_url: str, web_folder: Path
) -> None:
    (web_folder / "w.pth").write_bytes(b"weights")
    home = tmp_path / "home"
    home.mkdir()
    link = f"{web_url}/w.pth?X-Amz-Signature=planted-signature&token=planted-session-token"
    environment = os.environ | s3_server.environment() | {
        "HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2]), "TAO_SKILL_STATE": str(home / "state"),
        "TAO_SKILL_CACHE": str(home / "cache"),
    }  # fmt: skip
    if s3_server.name == "moto":
        environment["AWS_SESSION_TOKEN"] = "planted-session-token"
    roots = ["--data-root", f"{bucket}/data", "--results-root", f"{bucket}/results", "--automl-policy", "off"]
    given = [f"model.pretrained_model_path={link}"]
    said = ""
    for words in (
        ["run", "train", *roots, "--dry-run", "--json", "--overrides", *given],
        ["run", "train", *roots, "--dry-run", "--overrides", *given],
        ["run", "train", *roots, "--debug", "--overrides", *given],
        ["run", "train", *roots, "--overrides", f"{given[0]}x".replace("w.pth", "none.pth")],
        ["data", "stage", link, f"{bucket}/{BASE}/nothing.tar.gz", "--debug"],
        ["data", "cache", "list"],
        ["jobs", "list", "--results-root", f"{bucket}/results", "--json"],
    ):
        process = subprocess.run(
            [sys.executable, "-m", "tao_skill", *words],
            env=environment,
            capture_output=True,
            text=True,
            cwd=home,
            check=False,
        )
        said += process.stdout + process.stderr
    written = "".join(path.read_text(errors="replace") for path in home.rglob("*") if path.is_file())
    uploaded = "".join(
        (read_bytes(one.uri) or b"").decode(errors="replace") for one in list_objects(f"{bucket}/results")
    )
    assert "none.pth" in said
    assert "job.json" in str(names(f"{bucket}/results"))
    for secret in SECRETS:
        for where, text in (("said", said), ("written", written), ("uploaded", uploaded)):
            assert secret not in text, (where, secret, text[max(0, text.find(secret) - 300) :][:600])
    assert put
