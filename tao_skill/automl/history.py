"""The history of a search, as one plain document: what resuming starts from and reports are rendered from."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "HISTORY_FILE",
    "HISTORY_VERSION",
    "INTERRUPTED",
    "Failure",
    "FailureKind",
    "Report",
    "SearchHistory",
    "Trial",
    "TrialState",
]

HISTORY_VERSION = "1.0"
HISTORY_FILE = "search_history.json"
# Why a trial was stopped that goes on when its search does.
INTERRUPTED = "the search was interrupted"
FailureKind = Literal["configuration", "data", "infrastructure"]
TrialState = Literal["waiting", "running", "complete", "stopped", "failed"]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)


class Failure(_Document):
    """Why a trial failed."""

    kind: FailureKind = Field(description="configuration: its values; data: what it read; infrastructure: the machine.")
    message: str = Field(description="What went wrong.")


class Report(_Document):
    """The metric after an epoch."""

    epoch: int = Field(description="Epochs that were done, counted from 1.")
    value: float | None = Field(description="The metric; null where it was no finite number.")


class Trial(_Document):
    """One trial of a search."""

    number: int = Field(description="Number, from 0; 0 is the baseline.")
    job_id: str = Field(default="", description="The trial's own job.")
    origin: str = Field(description="baseline, search, or how else its values came to be.")
    continues: int | None = Field(default=None, description="Trial from whose checkpoint it went on.")
    begun: int = Field(default=0, description="Epochs that the checkpoint it went on from had; 0: from the start.")
    values: dict[str, Any] = Field(description="Searched values by dotted key.")
    epochs: int = Field(description="Epochs that it trains in all, unless it is stopped.")
    pause_at: int = Field(default=0, description="Epoch after which it pauses to be compared; 0: it doesn't.")
    state: TrialState = Field(default="waiting", description="Where it stands.")
    reason: str = Field(default="", description="Why it was stopped.")
    reports: list[Report] = Field(default_factory=list, description="The metric over time.")
    best_value: float | None = Field(
        default=None,
        description="Metric of the checkpoint that the trial hands on; while it runs, the best that it reported.",
    )
    best_epoch: int | None = Field(
        default=None,
        description="Epoch of that value, counted from 1; 0 where it is none that was reported, such as the model that "
        "training started from.",
    )
    seconds: float = Field(default=0.0, description="Seconds that it ran, in all attempts.")
    overhead_seconds: float = Field(default=0.0, description="Seconds of those that its program did not use.")
    attempts: int = Field(default=0, description="How often it was started.")
    went_on: bool = Field(default=False, description="Whether it trained on after it had been stopped and compared.")
    failure: Failure | None = Field(default=None, description="Why it failed.")
    new_worker: bool = Field(default=False, description="Whether a worker was started for it, cold.")
    checkpoints_kept: bool = Field(default=True, description="Whether its checkpoints are still there.")

    @property
    def ended(self) -> bool:
        """Say whether it has stopped, in whatever way."""
        return self.state in ("complete", "stopped", "failed")

    @property
    def goes_on(self) -> bool:
        """Say whether it runs, or will when its search does."""
        return not self.ended or self.reason == INTERRUPTED

    @property
    def last_epoch(self) -> int:
        """Return the last epoch that was reported."""
        return max((report.epoch for report in self.reports), default=0)

    @property
    def own_epochs(self) -> int:
        """Return how many epochs it trained itself, as far as it reported."""
        return max(0, self.last_epoch - self.begun)


class SearchHistory(_Document):
    """Everything that is known of a search."""

    schema_version: str = Field(default=HISTORY_VERSION, description="Version of this form.")
    job_id: str = Field(description="The search's own job.")
    skill: str = Field(description="Name of the skill that is tuned.")
    skill_dir: str = Field(description="Its folder.")
    algorithm: str = Field(description="How values were proposed.")
    metric: str = Field(description="What is optimised.")
    direction: Literal["maximize", "minimize"] = Field(description="Which values are better.")
    full_epochs: int = Field(description="Epochs of a full training.")
    first_pause: int | None = Field(
        default=None,
        description="Epoch after which trials pause to be compared, because the wall clock holds too few full "
        "trainings; 0: they don't; null: not decided.",
    )
    compared: bool = Field(
        default=False, description="Whether trials that paused were compared, and only the best go on since."
    )
    settings: dict[str, Any] = Field(description="The settings of the search.")
    space: list[dict[str, Any]] = Field(description="What is searched, with ranges.")
    left_out: dict[str, str] = Field(default_factory=dict, description="What is not searched, with the reason.")
    started_at: str = Field(description="When it began (UTC, ISO 8601).")
    data_root: str | None = Field(default=None, description="Where the skill's data sources lie, as it was given.")
    seconds: float = Field(default=0.0, description="Wall clock that it took, all runs together.")
    state: Literal["running", "ended", "interrupted"] = Field(default="running", description="Where it stands.")
    end_reason: str = Field(default="", description="Why it ended.")
    trials: list[Trial] = Field(default_factory=list, description="All trials.")
    winner: int | None = Field(default=None, description="Number of the best trial.")
    rejected: int = Field(default=0, description="Proposals that broke a rule and cost nothing.")
    largest_trial_bytes: int = Field(default=0, description="Bytes of checkpoints that one trial needed at most.")
    disk_bound: str = Field(default="", description="What the checkpoints need at most.")
    final_evaluation: dict[str, Any] | None = Field(default=None, description="The winner on the evaluate data.")
    notes: list[str] = Field(default_factory=list, description="What a user should know.")

    def better(self, value: float, than: float | None) -> bool:
        """Tell whether a value of the metric beats another."""
        return than is None or (value > than if self.direction == "maximize" else value < than)

    @property
    def baseline(self) -> float | None:
        """Return the best value of the first trial, the template's own values; None where it has none or failed."""
        first = self.trials[0] if self.trials else None
        return None if first is None or first.state == "failed" else first.best_value

    def gain(self, value: float | None) -> float | None:
        """Return by how much a value of the metric is better than the baseline, whichever way is better."""
        if value is None or self.baseline is None:
            return None
        return value - self.baseline if self.direction == "maximize" else self.baseline - value

    def best(self) -> Trial | None:
        """Return the best trial so far whose checkpoints are still there."""
        return next(iter(self.ranked()), None)

    def ranked(self) -> list[Trial]:
        """Return the trials with a value whose checkpoints are still there, the best first.

        Of equal ones, which may all hold the model that training started from, the one whose epochs did better comes
        first; then the earliest.
        """
        sign = -1.0 if self.direction == "maximize" else 1.0

        def place(trial: Trial) -> tuple[float, float, int]:
            trained = self.trained_value(trial)
            assert trial.best_value is not None
            return sign * trial.best_value, math.inf if trained is None else sign * trained, trial.number

        there = [one for one in self.trials if one.checkpoints_kept and one.state != "failed"]
        return sorted((one for one in there if one.best_value is not None), key=place)

    def add_report(self, trial: Trial, epoch: int, value: float | None) -> None:
        """Note the metric of a trial; an epoch that is told again replaces what was told before."""
        trial.reports = [one for one in trial.reports if one.epoch != epoch]
        trial.reports.append(Report(epoch=epoch, value=value))
        if value is not None and self.better(value, trial.best_value):
            trial.best_value, trial.best_epoch = value, epoch

    def settle(self, trial: Trial, held: float | None) -> None:
        """Rank an ended trial by the metric of the checkpoint that it hands on, where its program tells that."""
        if held is None or held == trial.best_value:
            return
        epochs = [report.epoch for report in trial.reports if report.value == held]
        trial.best_value, trial.best_epoch = held, min(epochs, default=0)

    def trained_value(self, trial: Trial, until: int | None = None) -> float | None:
        """Return the best value that an epoch of a trial reported: what its values are good for.

        ``until`` is the last epoch that counts.
        Its checkpoint may be better, where that holds the model that training started from; every other trial that
        learned nothing started from the same.
        """
        found: float | None = None
        for report in trial.reports:
            if report.value is None or (until is not None and report.epoch > until):
                continue
            if self.better(report.value, found):
                found = report.value
        return found
