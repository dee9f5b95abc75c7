"""What the tools answer; every text and list in it is bounded."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Call",
    "CheckDataAnswer",
    "CheckSpecAnswer",
    "Failure",
    "FileFact",
    "JobFact",
    "JobsAnswer",
    "LogsAnswer",
    "Parameter",
    "PlanAnswer",
    "ProblemFact",
    "Progress",
    "ResultAnswer",
    "SchemaAnswer",
    "SearchFact",
    "SkillFact",
    "SkillsAnswer",
    "Source",
]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)


class Call(_Document):
    """A call that makes sense next."""

    tool: str = Field(description="Name of the tool.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Its arguments, as far as they are known.")
    why: str = Field(default="", description="What it is for.")


class ProblemFact(_Document):
    """One thing that was wrong."""

    key: str = Field(description="Argument, spec key or file.")
    value: Any = Field(default=None, description="What it held.")
    allowed: str = Field(default="", description="What is allowed, and the nearest known key for a typo.")


class Failure(_Document):
    """Why a call was refused or a job failed."""

    code: str = Field(description="Stable name of the kind of error.")
    message: str = Field(description="What went wrong, in a sentence.")
    problems: list[ProblemFact] = Field(default_factory=list, description="Everything found wrong.")
    next_call: Call | None = Field(default=None, description="The call to make next.")
    hint: str = Field(default="", description="What a person at this machine can do about it.")


class SkillFact(_Document):
    """One skill."""

    name: str = Field(description="Name to give as skill.")
    description: str = Field(description="What it does and when to use it.")
    actions: list[str] = Field(description="What it can do; empty for a skill that trains no model of its own.")
    data_sources: list[Source] = Field(description="What each action reads below data_root.")
    automl: str = Field(description="Whether training searches hyperparameters by default, and why not.")
    document: str = Field(description="The skill's SKILL.md.")


class Source(_Document):
    """One data source of an action."""

    action: str = Field(description="Action that reads it.")
    key: str = Field(description="Spec key that holds its path.")
    files: dict[str, str] = Field(description="Paths below data_root; an empty name stands for the key itself.")


class SkillsAnswer(_Document):
    """The skills of the bank."""

    skills: list[SkillFact] = Field(description="The skills.")
    next_call: Call | None = Field(default=None, description="The call to make next.")


class Parameter(_Document):
    """One parameter of an action."""

    key: str = Field(description="Dotted key.")
    type: str = Field(description="JSON type.")
    default: Any = Field(default=None, description="Its default.")
    allowed: str = Field(default="", description="Choices or bounds.")
    description: str = Field(description="What it means.")


class SchemaAnswer(_Document):
    """Parameters of an action."""

    action: str = Field(description="The action.")
    parameters: list[Parameter] = Field(description="The parameters, in the order of the template.")
    total: int = Field(description="How many fit.")
    next_call: Call | None = Field(default=None, description="The call for the rest, where there is one.")


class CheckSpecAnswer(_Document):
    """Whether a spec is right."""

    valid: bool = Field(description="Whether it can be run as it is.")
    problems: list[ProblemFact] = Field(description="What is wrong; the first 40.")
    total_problems: int = Field(description="How many problems there are.")
    warnings: list[str] = Field(description="Settings that have no effect, and the like; the first 40.")
    next_call: Call | None = Field(default=None, description="The call to make next.")


class CheckDataAnswer(_Document):
    """What was found in data sets."""

    ok: bool = Field(description="Whether nothing is wrong that would stop a run.")
    sets: list[dict[str, Any]] = Field(
        description="Counts, sizes and formats of each data set. Of more than 40 classes, class_counts names the 20 "
        "largest and the 20 smallest."
    )
    problems: list[ProblemFact] = Field(description="What would stop a run; the first 40.")
    total_problems: int = Field(description="How many problems there are.")
    warnings: list[str] = Field(description="What is odd: duplicates, small classes, and the like; the first 40.")
    next_call: Call | None = Field(default=None, description="The call to make next.")


class SearchFact(_Document):
    """What a search would do: its cost is about trials times epochs, if no limit ends it sooner."""

    algorithm: str = Field(description="How values are proposed.")
    metric: str = Field(description="What is optimised.")
    direction: str = Field(description="maximize or minimize.")
    trials: int = Field(description="Most trainings that are started.")
    epochs: int | None = Field(description="Epochs of a full training.")
    minutes: float | None = Field(description="Minutes after which it ends; null: no limit.")
    at_once: int | None = Field(
        description="Trials that run at the same time; null: as many as the cluster has room for."
    )
    searched: list[dict[str, Any]] = Field(description="Parameters with their present value and range or choices.")
    left_out: dict[str, str] = Field(description="Parameters that are not searched, and why.")


class PlanAnswer(_Document):
    """What a run would do."""

    action: str = Field(description="The action.")
    dispatch: str = Field(description="Who does the work: trainer, or tao-run-automl.")
    dispatch_reason: str = Field(description="Why that one.")
    automl_policy: str = Field(description="on or off.")
    policy_reason: str = Field(description="Where the policy came from.")
    parent_job: str | None = Field(description="Job whose model it starts from.")
    results_dir: str = Field(description="Where its results go; `<job id>` stands for the id.")
    inputs: dict[str, list[str]] = Field(description="What it reads, by spec key.")
    settings: dict[str, Any] = Field(description="Settings that differ from the template, by dotted key.")
    origins: dict[str, str] = Field(description="Where each of those came from.")
    reasons: dict[str, str] = Field(description="What was decided about parent models and output places, and why.")
    search: SearchFact | None = Field(default=None, description="The search, where training goes to one.")
    device: str = Field(description="cuda or cpu.")
    warnings: list[str] = Field(description="What the user should know.")
    next_call: Call | None = Field(default=None, description="The call to make next.")


class Progress(_Document):
    """How far a job is."""

    epoch: int | None = Field(default=None, description="Newest epoch that ended, counted from 0.")
    max_epoch: int | None = Field(default=None, description="Epochs in all.")
    message: str = Field(default="", description="What it said last.")
    metrics: dict[str, float | None] = Field(default_factory=dict, description="Newest numbers.")
    search: SearchProgress | None = Field(default=None, description="Of a search: its trials so far.")


class SearchProgress(_Document):
    """How far a search over trainings is."""

    metric: str = Field(description="What is optimised.")
    trials: dict[str, int] = Field(description="Trials by state: complete, stopped, failed, running, waiting.")
    most_trials: int | None = Field(default=None, description="Trials at most; null where something else ends it.")
    baseline: float | None = Field(default=None, description="The metric with the values before the search.")
    best: float | None = Field(default=None, description="The best so far.")
    best_job_id: str | None = Field(default=None, description="The best trial's own job.")
    ended_because: str = Field(default="", description="Why it ended.")


class JobFact(_Document):
    """Where one job stands."""

    job_id: str = Field(description="The job.")
    action: str = Field(description="Its action.")
    status: str = Field(description="PENDING, RUNNING, COMPLETE, ERROR, CANCELED or UNKNOWN.")
    ended: bool = Field(description="Whether it has stopped, in whatever way.")
    created_at: str = Field(description="When it was asked for (UTC).")
    finished_at: str | None = Field(default=None, description="When it ended.")
    parent_job: str | None = Field(default=None, description="Job whose model it starts from.")
    progress: Progress = Field(default_factory=Progress, description="How far it is.")
    error: Failure | None = Field(default=None, description="Why it failed.")


class JobsAnswer(_Document):
    """Jobs, and how they stand."""

    jobs: list[JobFact] = Field(description="The job asked for, or several, newest first.")
    total: int = Field(description="How many jobs there are; 1 where one was asked for.")
    started: bool = Field(default=False, description="Whether this call started the job.")
    warnings: list[str] = Field(default_factory=list, description="What the user should know.")
    next_call: Call | None = Field(default=None, description="The call to make next.")


class LogsAnswer(_Document):
    """A piece of a log."""

    job_id: str = Field(description="The job.")
    lines: list[str] = Field(description="The lines, oldest first; longer ones are cut.")
    start: int = Field(description="Byte where the piece starts.")
    end: int = Field(description="Byte where the piece ends.")
    size: int = Field(description="Bytes of the whole log.")
    next_call: Call | None = Field(default=None, description="The call for what went before, or for the rest.")


class FileFact(_Document):
    """One file of a job's results."""

    path: str = Field(description="Path below results_dir.")
    bytes: int = Field(description="Its size.")


class ResultAnswer(_Document):
    """How a job ended and what it left."""

    job_id: str = Field(description="The job.")
    action: str = Field(description="Its action.")
    status: str = Field(description="COMPLETE, ERROR, CANCELED, or where it stands.")
    metrics: dict[str, float | None] = Field(description="Final metrics by name.")
    checkpoint: str | None = Field(description="Checkpoint or model file that it made or used.")
    results_dir: str = Field(description="Folder of the job.")
    files: list[FileFact] = Field(description="Its files, without what is hidden.")
    total_files: int = Field(description="How many files there are.")
    error: Failure | None = Field(default=None, description="Why it failed.")
    log_tail: list[str] = Field(default_factory=list, description="Last lines of the log of a failed job.")
    warnings: list[str] = Field(default_factory=list, description="What the user should know.")
    next_call: Call | None = Field(default=None, description="The call to make next.")
