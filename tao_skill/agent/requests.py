"""What an agent may ask of each tool."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tao_skill.config import ACTIONS

__all__ = [
    "CancelRequest",
    "CheckDataRequest",
    "CheckSpecRequest",
    "ListSkillsRequest",
    "LogsRequest",
    "PlanRequest",
    "ResultRequest",
    "ResumeRequest",
    "RunJobRequest",
    "ShowSchemaRequest",
    "StatusRequest",
    "ToolRequest",
]

MOST_LOG_LINES = 500
LONGEST_WAIT = 86400.0
_JOB_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"
_WAIT = (
    "Return when the job has ended, or after this time; 0: at once. Many clients give up on a call after 60 s, so stay "
    "below; the job goes on when a call is canceled or times out."
)
_ROOT = "Folder of all jobs; null means $TAO_RESULTS_ROOT, or ./results."
_ONE_OF_ACTIONS: dict[str, Any] = {"enum": list(ACTIONS)}


class ToolRequest(BaseModel):
    """Take no argument that the tool doesn't have."""

    model_config = ConfigDict(extra="forbid", str_max_length=8192, defer_build=True)


class ListSkillsRequest(ToolRequest):
    """Which skills to list."""

    skill: str | None = Field(default=None, description="Name of one skill; null lists all.")


class ShowSchemaRequest(ToolRequest):
    """Which parameters to show."""

    action: str = Field(description="Action whose parameters to show.", json_schema_extra=_ONE_OF_ACTIONS)
    match: str = Field(
        default="",
        description="Show only parameters whose key and description hold all of these words, such as batch_size or "
        "trunk learning rate.",
    )
    offset: int = Field(default=0, ge=0, description="Parameters to pass over, to page on.")
    limit: int = Field(default=40, ge=1, le=200, description="Most parameters to show.")
    skill: str | None = Field(default=None, description="Name of the skill; null means the recognition skill.")


class _SpecRequest(ToolRequest):
    action: str = Field(description="What to do.", json_schema_extra=_ONE_OF_ACTIONS)
    skill: str | None = Field(default=None, description="Name of the skill; null means the recognition skill.")


class CheckSpecRequest(_SpecRequest):
    """A whole or partial spec to check."""

    spec: dict[str, Any] = Field(description="The spec, with nested or dotted keys; what it leaves out is a default.")


class CheckDataRequest(ToolRequest):
    """Data sets to look at: below one root, or one by one."""

    data_root: str | None = Field(default=None, description="Folder or URI below which the skill's data sources lie.")
    action: Literal["train", "evaluate"] | None = Field(
        default=None, description="Whose data sources below data_root; null means both."
    )
    train: str | None = Field(default=None, description="Training images: a folder of class folders, or an archive.")
    reference: str | None = Field(default=None, description="Reference images, likewise.")
    query: str | None = Field(default=None, description="Query images, likewise.")
    class_map: str | None = Field(default=None, description="YAML file that maps folder names to class names.")
    skill: str | None = Field(default=None, description="Name of the skill; null means the recognition skill.")


class PlanRequest(_SpecRequest):
    """One run of one action."""

    skill: str | None = Field(
        default=None, description="Name of the skill; null means the parent job's, or the recognition skill."
    )
    overrides: dict[str, Any] = Field(
        default_factory=dict,
        description='Settings that differ from the template, by dotted or nested key: {"train.num_epochs": 30}.',
    )
    data_root: str | None = Field(
        default=None, description="Folder or URI below which the skill's data sources lie; fills all data keys."
    )
    parent_job_id: str | None = Field(default=None, description="Job whose model this run starts from.")
    parent_checkpoint: str = Field(
        default="best", max_length=20, description="best, latest, or an epoch, counted from 0."
    )
    force_parent: bool = Field(default=False, description="Take a parent job that is not COMPLETE.")
    automl_policy: Literal["on", "off"] | None = Field(
        default=None, description="Whether train may search hyperparameters; null: the user's words decide, else on."
    )
    automl: dict[str, Any] = Field(
        default_factory=dict,
        description='Settings of the search, where train goes to one: {"automl_max_recommendations": 8}.',
    )
    user_words: str | None = Field(
        default=None, max_length=4000, description="The user's own words; 'plain training' or 'no HPO' mean off."
    )
    results_root: str | None = Field(default=None, description=_ROOT)


class RunJobRequest(PlanRequest):
    """One run of one action, under a name of your choice."""

    idempotency_key: str = Field(
        min_length=1,
        max_length=200,
        description="Your own name for this job, such as bottles-train-1. The same key always means the same job "
        "below this results root: a repeated call returns it and starts nothing. Choose a new key for a new job.",
    )
    wait_seconds: float = Field(default=0, ge=0, le=LONGEST_WAIT, description=_WAIT)


class _JobRequest(ToolRequest):
    job_id: str = Field(pattern=_JOB_ID, description="The job; the start of its id is enough where only one fits.")
    results_root: str | None = Field(default=None, description=_ROOT)


class StatusRequest(ToolRequest):
    """One job, or the newest ones."""

    job_id: str | None = Field(default=None, pattern=_JOB_ID, description="The job; null lists the newest jobs.")
    wait_seconds: float = Field(default=0, ge=0, le=LONGEST_WAIT, description=_WAIT)
    limit: int = Field(default=10, ge=1, le=100, description="Most jobs to list.")
    offset: int = Field(default=0, ge=0, description="Newer jobs to pass over, to page on.")
    results_root: str | None = Field(default=None, description=_ROOT)


class LogsRequest(_JobRequest):
    """A piece of a job's log."""

    lines: int = Field(default=50, ge=1, le=MOST_LOG_LINES, description="Most lines to return.")
    before: int | None = Field(
        default=None, ge=0, description="Byte before which the piece ends; null: the end of the log."
    )
    after: int | None = Field(
        default=None, ge=0, description="Byte from which the piece starts, to read on; wins over before."
    )


class ResultRequest(_JobRequest):
    """A job whose result is wanted."""

    files: int = Field(default=30, ge=0, le=500, description="Most files to name.")


class CancelRequest(_JobRequest):
    """A job to end."""


class ResumeRequest(_JobRequest):
    """A training or a search to go on with."""

    automl: dict[str, Any] = Field(
        default_factory=dict,
        description='Settings that a search goes on with, such as more time: {"automl_max_minutes": 120}.',
    )
    wait_seconds: float = Field(default=0, ge=0, le=LONGEST_WAIT, description=_WAIT)
