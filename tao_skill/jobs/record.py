"""The record of one job, as it lies in ``job.json``."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from tao_skill.config.finite import finite

RECORD_VERSION = "1.0"


class JobStatus(StrEnum):
    """Where a job stands."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    ERROR = "ERROR"
    CANCELED = "CANCELED"
    UNKNOWN = "UNKNOWN"


# The words of this project and of TAO's skills; TAO's SDK writes the same in small letters after the first.
_STATUS_WORDS = [spelling for status in JobStatus for spelling in (status.value, status.value.capitalize())]
StatusWord = Annotated[
    JobStatus,
    BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
    WithJsonSchema({"type": "string", "enum": _STATUS_WORDS}),
]
ENDED = frozenset({JobStatus.COMPLETE, JobStatus.ERROR, JobStatus.CANCELED, JobStatus.UNKNOWN})
BROKEN_OFF = frozenset({JobStatus.ERROR, JobStatus.CANCELED, JobStatus.UNKNOWN})
# COMPLETE is final. A job that broke off may be started again, and an unknown end may become known.
LEGAL_TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PENDING: frozenset({JobStatus.RUNNING} | BROKEN_OFF),
    JobStatus.RUNNING: frozenset({JobStatus.COMPLETE} | BROKEN_OFF),
    JobStatus.COMPLETE: frozenset(),
    JobStatus.ERROR: frozenset({JobStatus.PENDING, JobStatus.RUNNING}),
    JobStatus.CANCELED: frozenset({JobStatus.PENDING, JobStatus.RUNNING}),
    JobStatus.UNKNOWN: frozenset(
        {JobStatus.PENDING, JobStatus.RUNNING, JobStatus.COMPLETE, JobStatus.ERROR, JobStatus.CANCELED}
    ),
}


def utc_now() -> str:
    """Return the time now as UTC in ISO 8601, to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True, defer_build=True)


class RecordedProblem(_Document):
    """One thing that was wrong."""

    key: str = Field(description="Spec key or file.")
    value: Any = Field(default=None, description="What it held.")
    expected: str = Field(default="", description="What was expected.")


class RecordedError(_Document):
    """Why a job failed."""

    code: str = Field(description="Stable name of the kind of error.")
    message: str = Field(description="What went wrong, in a sentence.")
    problems: list[RecordedProblem] = Field(default_factory=list, description="Everything found wrong.")
    next_step: str = Field(default="", description="The command to type next.")


class Transition(_Document):
    """One change of a job's status."""

    at: str = Field(description="When (UTC, ISO 8601).")
    from_status: JobStatus | None = Field(alias="from", description="Status before; null at the start.")
    to_status: JobStatus = Field(alias="to", description="Status after.")
    reason: str = Field(default="", description="Why.")


class UploadState(_Document):
    """How far the results are on the server of the results root."""

    uri: str = Field(description="Where the job's files go.")
    state: Literal["running", "complete", "incomplete"] = Field(description="Whether all of them are there.")
    files: int = Field(default=0, description="Files that are there.")
    bytes: int = Field(default=0, description="Bytes that are there.")
    missing: list[str] = Field(default_factory=list, description="Files that are not there yet, or not as they are.")
    error: str = Field(default="", description="Why not.")
    excluded: list[str] = Field(default_factory=list, description="Patterns of what is never uploaded.")


class JobRecord(_Document):
    """Everything that is remembered of one job."""

    schema_version: str | int = Field(default=RECORD_VERSION, description="Version of this form.")
    job_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$", description="Name of the job.")
    skill: str = Field(description="Skill that the job belongs to.")
    skill_dir: str | None = Field(default=None, description="Folder of the skill, where it is none of the bank.")
    action: str = Field(description="Action of the skill.")
    dispatch: str = Field(
        default="", description="Where its run was sent: to the trainer or to a search; empty: a trial."
    )
    status: StatusWord = Field(default=JobStatus.PENDING, description="Where the job stands; written in capitals.")
    parent_job: str | None = Field(default=None, description="Job whose results this one starts from, or its search.")
    best_child: str | None = Field(default=None, description="Of a search: the job of its best trial so far.")
    created_at: str = Field(default_factory=utc_now, description="When it was asked for (UTC, ISO 8601).")
    updated_at: str = Field(default_factory=utc_now, description="When this record was last written.")
    started_at: str | None = Field(default=None, description="When it first ran.")
    finished_at: str | None = Field(default=None, description="When it ended.")
    results_dir: str = Field(description="The job's folder.")
    spec: dict[str, Any] = Field(default_factory=dict, description="The nested spec that was run.")
    provenance: dict[str, Any] = Field(default_factory=dict, description="Where each value of the spec came from.")
    command: list[str] = Field(default_factory=list, description="Command line of the process.")
    pid: int | None = Field(default=None, description="Process that does the work; also its process group.")
    process_start_time: str | None = Field(default=None, description="Start of that process, to know it again.")
    host: str | None = Field(default=None, description="Machine that runs it.")
    runner_pid: int | None = Field(default=None, description="Process that waits for it.")
    runner_start_time: str | None = Field(default=None, description="Start of the waiting process.")
    exit_code: int | None = Field(default=None, description="Exit code; below zero: killed by that signal.")
    error: RecordedError | None = Field(default=None, description="Why it failed.")
    metrics: dict[str, float | None] = Field(default_factory=dict, description="Final metrics.")
    checkpoint: str | None = Field(default=None, description="Checkpoint or model file it made or used.")
    warnings: list[str] = Field(default_factory=list, description="What a user should know.")
    upload: UploadState | None = Field(
        default=None, description="Upload to a remote results root; null for a local one."
    )
    log_tail: list[str] = Field(default_factory=list, description="Last lines of the log of a failed job.")
    transitions: list[Transition] = Field(default_factory=list, description="Every change of status, in order.")

    @property
    def ended(self) -> bool:
        """Say whether the job has stopped, in whatever way."""
        return self.status in ENDED

    def document(self) -> dict[str, Any]:
        """Return the record as the plain data of ``job.json``; JSON has no NaN, so that becomes null."""
        return {name: finite(value) for name, value in self.model_dump(mode="json", by_alias=True).items()}
