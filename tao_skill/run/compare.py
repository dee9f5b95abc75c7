"""Compare the engines of one model: find its files by the job that made them, and the images by the skill's table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tao_skill.bank.skill import find_skill
from tao_skill.config.keys import get_leaf
from tao_skill.errors import JobError, NotAvailableError, Problem, SpecError
from tao_skill.jobs.reconcile import action_folder, read_object
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.data_sources import fill_data_sources
from tao_skill.run.results_root import open_store
from tao_skill.run.stage import stage_all

__all__ = ["compare_engines"]

_REFERENCE, _QUERY = "dataset.val_dataset.reference", "dataset.val_dataset.query"


def compare_engines(
    parent_job_id: str,
    *,
    results_root: str | None = None,
    data_root: str | None = None,
    reference: str | None = None,
    query: str | None = None,
    batches: Sequence[int] = (1, 16),
    rounds: int = 7,
) -> dict[str, Any]:
    """Return the comparison of all engines that can run here, as a document.

    The parent is an export job, or the job that built an engine from one. Images are those of ``evaluate`` in the
    skill's table, below ``data_root``, unless ``reference`` and ``query`` are given.

    Raises:
        JobError: no such job, or one that exported nothing.
        SpecError: images are missing.
        NotAvailableError: torch isn't installed.
    """
    store = open_store(results_root)
    record = store.reconcile(store.load(parent_job_id))
    files = _files(store, record)
    given = {key: value for key, value in ((_REFERENCE, reference), (_QUERY, query)) if value}
    skill = find_skill(record.skill)
    filled, missing = fill_data_sources(skill.data_source_rows("evaluate"), data_root, given)
    if missing:
        raise SpecError(
            "Engines are compared on reference and query images, which are missing.",
            problems=missing,
            next_step="add --data-root URI, or --reference FOLDER --query FOLDER",
        )
    images = {**filled, **given}
    local = stage_all([images[_REFERENCE], images[_QUERY]])
    try:
        from tao_skill.metric_learning.compare.compare import compare
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("tao_skill"):
            raise
        raise NotAvailableError(
            f"The package {error.name} is not installed, which deploy compare needs.",
            next_step="pip install 'tao-skill[train,deploy]'",
        ) from error
    return {"job_id": record.job_id, **compare(files, local[0], local[1], batches=batches, rounds=rounds)}


def _files(store: JobStore, record: JobRecord) -> dict[str, str]:
    """Return the model's files by kind, from an export job, or from an engine's job and the export it started from."""
    if record.status != JobStatus.COMPLETE:
        raise JobError(
            f"Job {record.job_id} is {record.status}, not COMPLETE.",
            problems=[Problem("--parent-job-id", record.job_id, "a job that is COMPLETE")],
        )
    if record.action == "gen_trt_engine" and record.parent_job:
        engine = get_leaf(record.spec, "gen_trt_engine.trt_engine")
        return _files(store, store.load(record.parent_job)) | {"engine": str(engine)}
    if record.action != "export":
        raise JobError(
            f"Job {record.job_id} is a job of {record.action}, which makes no ONNX file.",
            problems=[Problem("--parent-job-id", record.job_id, "a job of export, or of gen_trt_engine")],
            next_step=f"python -m tao_skill run export --parent-job-id {record.job_id}",
        )
    report = read_object(action_folder(record) / "export.json") or {}
    files = {"checkpoint": report.get("source"), "onnx": report.get("onnx_file"), "int8": report.get("int8_file")}
    known = {kind: str(path) for kind, path in files.items() if path}
    absent = [Problem(kind, path, "a file that is there") for kind, path in known.items() if not Path(path).is_file()]
    if absent or "checkpoint" not in known:
        raise JobError(f"Files of job {record.job_id} are gone.", problems=absent, next_step="export again")
    return known
