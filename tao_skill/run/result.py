"""What a run came to, as one document."""

from __future__ import annotations

import shlex
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tao_skill.jobs.reconcile import LOG_FILE, action_folder
from tao_skill.jobs.record import JobRecord, JobStatus, RecordedError, StatusWord, UploadState

__all__ = ["RunResult", "result_of"]


class RunResult(BaseModel):
    """How a job ended and where its results are."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    job_id: str = Field(description="The job.")
    action: str = Field(description="Action of the skill.")
    status: StatusWord = Field(description="COMPLETE, ERROR, CANCELED, or where the job stands.")
    results_dir: str = Field(description="Folder of the job; the action's files are in a folder of its name in it.")
    checkpoint: str | None = Field(description="Checkpoint or model file that it made or used.")
    metrics: dict[str, float | None] = Field(description="Final metrics by name.")
    warnings: list[str] = Field(default_factory=list, description="What a user should know.")
    upload: UploadState | None = Field(
        default=None, description="Upload of the results; null for a local results root."
    )
    search: dict[str, Any] | None = Field(
        default=None, description="Of a search: trials, baseline, best value, gain, best child job, report."
    )
    log: str = Field(description="Log of the action.")
    error: RecordedError | None = Field(default=None, description="Why it failed.")


def result_of(record: JobRecord, search: dict[str, Any] | None = None) -> RunResult:
    """Return the result that a job's record tells; ``search`` is the summary of a search."""
    error = record.error
    if error is None and record.status == JobStatus.CANCELED:
        error = RecordedError(
            code="canceled",
            message=f"Job {record.job_id} was canceled.",
            next_step=f"python -m tao_skill jobs resume {record.job_id}" if record.action == "train" else "",
        )
    return RunResult(
        job_id=record.job_id,
        action=record.action,
        status=record.status,
        results_dir=record.results_dir,
        checkpoint=record.checkpoint,
        metrics=record.metrics,
        warnings=[*record.warnings, *_upload_warnings(record)],
        upload=record.upload,
        search=search,
        log=str(action_folder(record) / LOG_FILE),
        error=error,
    )


def _upload_warnings(record: JobRecord) -> list[str]:
    upload = record.upload
    if upload is None or upload.state == "complete":
        return []
    root = shlex.quote(upload.uri.rpartition("/")[0])
    return [
        f"{len(upload.missing)} files are not at {upload.uri} yet ({upload.error or 'broken off'}); they are safe in "
        f"{record.results_dir}. Finish with: python -m tao_skill jobs upload {record.job_id} --results-root {root}"
    ]
