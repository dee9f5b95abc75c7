"""What a search hands on: the best recommendation for programs, and the report for people and programs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tao_skill.automl.budget import seconds_per_epoch
from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.config.keys import nest

__all__ = ["BestRec", "SearchReport", "best_rec", "search_report"]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)


def _untold(value: object) -> bool:
    return value is None


class WinningRec(_Document):
    """The best recommendation, in the form in which TAO's skills hand it on."""

    rec_id: str = Field(description="Number of the trial; 0 is the baseline.")
    score: float = Field(description="Best value of the metric.")
    specs: dict[str, Any] = Field(description="Recommended values, as nested sections, without those of the budget.")
    observed_budget: dict[str, Any] = Field(description="What was spent on it: num_epochs.")
    checkpoint_uri: str | None = Field(default=None, description="Best checkpoint; null where none was kept.")
    checkpoint_epoch: int | None = Field(default=None, description="Its epoch; TAO tells it.", exclude_if=_untold)
    checkpoint_step: int | None = Field(default=None, description="Its step; TAO tells it.", exclude_if=_untold)


class RecScore(_Document):
    """One recommendation and how it did; the history tells its values."""

    rec_id: str = Field(description="Number of the trial; 0 is the baseline.")
    score: float | None = Field(description="Best value of the metric; null where none was reported.")
    job_id: str = Field(default="", description="The trial's own job.")


class BestRec(_Document):
    """The best recommendation of a search, and the scores of all."""

    schema_version: int = Field(default=1, description="Version of this form.")
    experiment_id: str = Field(description="The search's job.")
    metric_name: str = Field(description="What was optimised.")
    direction: Literal["maximize", "minimize"] = Field(description="Which values are better.")
    best: WinningRec | None = Field(description="The winner; null where no trial reported the metric.")
    all_recs: list[RecScore] = Field(description="All recommendations.")


class SearchReport(_Document):
    """What a search came to."""

    schema_version: str = Field(default="1.0", description="Version of this form.")
    history: SearchHistory = Field(description="The whole history.")
    baseline: float | None = Field(description="Best value of the template's own values with the overrides.")
    best: float | None = Field(description="Best value of all.")
    gain: float | None = Field(description="By how much the best beats the baseline, in the metric's direction.")
    seconds_per_epoch: float = Field(description="Mean over all trials.")
    epochs: int = Field(description="Epochs that all trials trained.")
    largest_overhead: float | None = Field(
        description="Seconds of a trial that its program did not use, at most, the first of each worker left out."
    )
    importance: dict[str, float] = Field(
        default_factory=dict,
        description="Share of each parameter in what makes a trial good; empty where the trials are too few to tell.",
    )


def best_rec(history: SearchHistory, checkpoints: dict[int, str]) -> BestRec:
    """Return the document; ``checkpoints`` names the best checkpoint of each trial that still has one."""
    winner = None if history.winner is None else history.trials[history.winner]
    return BestRec(
        experiment_id=history.job_id,
        metric_name=history.metric,
        direction=history.direction,
        best=_winning(winner, checkpoints.get(winner.number)) if winner else None,
        all_recs=[
            RecScore(rec_id=str(trial.number), score=trial.best_value, job_id=trial.job_id) for trial in history.trials
        ],
    )


def search_report(history: SearchHistory, *, importance: bool = True) -> SearchReport:
    """Return the report; ``importance`` takes longest and may be left out."""
    best = None if history.winner is None else history.trials[history.winner].best_value
    # Histories of old say of no trial that it started a worker; the baseline always did.
    ended = [trial for trial in history.trials[1:] if trial.ended and trial.attempts == 1]
    warm = [trial.overhead_seconds for trial in ended if not trial.new_worker]
    shares = _importances(history) if importance else {}
    epochs = sum(trial.own_epochs for trial in history.trials)
    return SearchReport(
        history=history, baseline=history.baseline, best=best, gain=history.gain(best),
        seconds_per_epoch=seconds_per_epoch(history), epochs=epochs, largest_overhead=max(warm, default=None),
        importance=shares,
    )  # fmt: skip


def _winning(trial: Trial, checkpoint: str | None) -> WinningRec | None:
    if trial.best_value is None:
        return None
    return WinningRec(
        rec_id=str(trial.number),
        score=trial.best_value,
        specs=nest(trial.values),
        observed_budget={"num_epochs": trial.last_epoch},
        checkpoint_uri=checkpoint,
    )


def _importances(history: SearchHistory) -> dict[str, float]:
    try:
        from tao_skill.automl.importance import importances
    except ModuleNotFoundError:  # a search may be looked at where none can run
        return {}
    return importances(history)
