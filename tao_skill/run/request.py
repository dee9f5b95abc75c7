"""What is asked for: one run, as plain data."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tao_skill.errors import Problem, UsageError
from tao_skill.run.checkpoint_choice import Choose

__all__ = ["RunRequest", "parse_parent_checkpoint"]


class RunRequest(BaseModel):
    """One run of one action."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    action: str = Field(description="What to do: train, evaluate, inference, export or gen_trt_engine.")
    skill: str | None = Field(
        default=None, description="Name or folder of the skill; null means the parent job's, or the recognition skill."
    )
    overrides: list[str | dict[str, Any]] = Field(
        default_factory=list,
        description="Settings that differ: KEY=VALUE, a JSON object (dotted or nested keys), or @file; the last wins.",
    )
    data_root: str | None = Field(default=None, description="Path or URI below which the skill's data sources lie.")
    results_root: str | None = Field(
        default=None, description="Folder of all jobs; null means $TAO_RESULTS_ROOT, or ./results."
    )
    parent_job_id: str | None = Field(default=None, description="Job whose model this run starts from.")
    parent_checkpoint: str = Field(default="best", description="best, latest, or an epoch, counted from 0.")
    force_parent: bool = Field(default=False, description="Take a parent job that is not COMPLETE.")
    automl_policy: str | None = Field(
        default=None, description="on or off; null means that the request's words decide."
    )
    automl: list[str | dict[str, Any]] = Field(
        default_factory=list,
        description="Settings of the search, for train: KEY=VALUE, a JSON object, or @file; the last wins.",
    )
    request: str | None = Field(default=None, description="The user's own words, searched for a wish to train plainly.")


def parse_parent_checkpoint(text: str) -> tuple[Choose, int | None]:
    """Return how the parent's checkpoint is chosen: best, latest, or an epoch with its number.

    Raises:
        UsageError: something else.
    """
    word = text.strip().lower()
    if word == "best":
        return "best", None
    if word == "latest":
        return "latest", None
    if word.isascii() and word.isdigit():
        return "epoch", int(word)
    raise UsageError(
        f"--parent-checkpoint can't be {text!r}.",
        problems=[Problem("--parent-checkpoint", text, "best, latest, or the number of an epoch, counted from 0")],
    )
