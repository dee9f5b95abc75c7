"""The plan of a run: everything that was decided, as one document, before anything is written or moved."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_serializer

from tao_skill.run.preflight import Preflight
from tao_skill.run.redaction import redacted

__all__ = ["PLAN_VERSION", "RunPlan"]

PLAN_VERSION = "1.0"


class RunPlan(BaseModel):
    """What a run will do, and why."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    schema_version: str = Field(default=PLAN_VERSION, description="Version of this form.")
    action: str = Field(description="Action of the skill.")
    skill: str = Field(description="Name of the skill.")
    skill_dir: str = Field(description="Folder of the skill.")
    automl_policy: Literal["on", "off"] = Field(description="Whether a training may go to AutoML, in this run.")
    policy_reason: str = Field(description="Where the policy came from.")
    dispatch: Literal["trainer", "tao-run-automl"] = Field(description="Who does the work.")
    dispatch_reason: str = Field(description="Why that one.")
    job_id: str | None = Field(default=None, description="The job; null in a dry run, which makes none.")
    parent_job: str | None = Field(default=None, description="Job whose model this run starts from.")
    results_root: str = Field(description="Folder of all jobs.")
    results_dir: str = Field(description="Folder of this job; `<job id>` stands for the id in a dry run.")
    spec: dict[str, Any] = Field(description="The complete nested spec.")
    provenance: dict[str, str] = Field(
        description="Where each value came from, by dotted key: template, data source, parent job, checkpoint, "
        "checkpoint (read at launch), inference function, shorthand, override, derived."
    )
    reasons: dict[str, str] = Field(description="What each inference function decided, by dotted key.")
    inputs: dict[str, list[str]] = Field(description="Paths and URIs that will be brought here, by dotted key.")
    overrides: dict[str, Any] = Field(description="What the user set, by dotted key.")
    warnings: list[str] = Field(description="What a user should know.")
    search: dict[str, Any] | None = Field(
        default=None, description="The search, where training goes to AutoML: algorithm, budget, metric and space."
    )
    preflight: Preflight = Field(description="What this machine has.")

    @field_serializer("spec", "inputs", "overrides", "reasons", "warnings", "preflight")
    def _without_secrets(self, value: Any) -> Any:
        """Show a plan without what is secret in signed links; the run itself needs them."""
        return redacted(value.model_dump() if isinstance(value, BaseModel) else value)
