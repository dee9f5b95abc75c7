"""Find the files of an exported model, on this machine or where its jobs worked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from tao_skill.config.keys import get_leaf
from tao_skill.errors import JobError, Problem
from tao_skill.jobs.reconcile import action_folder, read_object
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.parent_job import find_job, find_parent
from tao_skill.run.remote_jobs import remote_folder
from tao_skill.storage.locate import is_remote

__all__ = ["exported_files"]

_REPORT = "export.json"


def exported_files(store: JobStore, job_id: str) -> tuple[JobRecord, dict[str, str]]:
    """Return a job and its model's files by kind: checkpoint, onnx, int8 and engine, as far as there are some.

    The job is one of export, or one that built an engine from one. What lies on a server comes as a URI.

    Raises:
        JobError: no such job, one that isn't COMPLETE, or one that exported nothing; or its files are gone.
    """
    store, record = find_job(store, job_id)
    if record.status != JobStatus.COMPLETE:
        raise JobError(
            f"Job {record.job_id} is {record.status}, not COMPLETE.",
            problems=[Problem("--parent-job-id", record.job_id, "a job that is COMPLETE")],
            next_step=f"python -m tao_skill jobs show {record.job_id}",
        )
    if record.action == "gen_trt_engine" and record.parent_job:
        engine = str(get_leaf(record.spec, "gen_trt_engine.trt_engine"))
        _, files = exported_files(store, record.parent_job)
        return record, files | {"engine": _placed(store, record, engine)}
    if record.action != "export":
        raise JobError(
            f"Job {record.job_id} is a job of {record.action}, which makes no ONNX file.",
            problems=[Problem("--parent-job-id", record.job_id, "a job of export, or of gen_trt_engine")],
            next_step=f"python -m tao_skill run export --parent-job-id {record.job_id}",
        )
    return record, _of_export(store, record)


def _of_export(store: JobStore, record: JobRecord) -> dict[str, str]:
    report = _report(store, record)
    made = {"onnx": report.get("onnx_file"), "int8": report.get("int8_file")}
    files = {kind: _placed(store, record, str(path)) for kind, path in made.items() if path}
    source = str(report.get("source") or "")
    files = {"checkpoint": _checkpoint(store, record, source)} | files
    gone = {kind: path for kind, path in files.items() if not is_remote(path) and not Path(path).is_file()}
    if gone:
        raise JobError(
            f"Files of job {record.job_id} are gone.",
            problems=[Problem(kind, path or source, "a file that is there") for kind, path in gone.items()],
            next_step="export again: python -m tao_skill run export --parent-job-id JOB",
        )
    return files


def _report(store: JobStore, record: JobRecord) -> Mapping[str, Any]:
    elsewhere = remote_folder(store, record.job_id)
    if elsewhere is None:
        return read_object(action_folder(record) / _REPORT) or {}
    from tao_skill.storage.small import read_bytes

    place = f"{elsewhere}/{record.action}/{_REPORT}"
    try:
        report = json.loads(read_bytes(place) or b"{}")
    except ValueError as error:
        problem = Problem(place, str(error), "the report that export wrote")
        raise JobError(f"The report of job {record.job_id} is damaged.", problems=[problem]) from error
    return report if isinstance(report, Mapping) else {}


def _placed(store: JobStore, record: JobRecord, path: str) -> str:
    """Return where a file that a job made is: its path, or its URI where the job worked elsewhere."""
    elsewhere = remote_folder(store, record.job_id)
    return path if elsewhere is None else f"{elsewhere}/{record.action}/{PurePath(path).name}"


def _checkpoint(store: JobStore, record: JobRecord, source: str) -> str:
    """Return where the checkpoint is that was exported; "" where it can't be found."""
    if not source or Path(source).is_file() or not record.parent_job:
        return source
    parent = find_parent(store, record.parent_job, force=True)
    name = PurePath(source).name
    return next((parent.place(one.path) for one in parent.candidates if PurePath(one.path).name == name), "")
