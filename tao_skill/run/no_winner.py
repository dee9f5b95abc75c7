"""Why a search ended without a trial that can be chosen, and what a user can do about it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from tao_skill.automl.history import SearchHistory
from tao_skill.errors import JobError, Problem
from tao_skill.jobs.store import JobStore

__all__ = ["no_winner"]

_MOST = 12
_TRIALS = 5


def no_winner(store: JobStore, history: SearchHistory, instead: Sequence[str] | None) -> JobError:
    """Return the error of a search without a winner; ``instead`` is what trials report where it isn't the metric."""
    trials = history.trials[:_TRIALS]
    problems = [
        Problem(f"trial {trial.number}", trial.values, trial.failure.message if trial.failure else "no value")
        for trial in trials
    ]
    logs = f"python -m tao_skill jobs logs {trials[0].job_id if trials else history.job_id}"
    step = f"{logs}; more time: python -m tao_skill automl resume {history.job_id} --automl automl_max_minutes=MINUTES"
    if instead is not None:
        problems = [_no_such_metric(history.metric, instead)]
        step = f"search anew with --automl metric=NAME; what the program said: {logs}"
    elif trials and all(trial.failure for trial in trials):
        problems += _what_failed(store, trials[0].job_id)
        step = logs
    return JobError(
        f"The search ended without a trial that reported {history.metric}: {history.end_reason}.",
        problems=problems,
        next_step=step,
    )


def _no_such_metric(metric: str, instead: Sequence[str]) -> Problem:
    if not instead:
        return Problem("metric", metric, "a metric that the program reports; it reports none")
    near = difflib.get_close_matches(metric.lower(), [name.lower() for name in instead], n=1)
    nearest = next((f"; the nearest is {name}" for name in instead if name.lower() in near), "")
    shown = ", ".join(instead[:_MOST]) + (", …" if len(instead) > _MOST else "")
    return Problem("metric", metric, f"one that the program reports: {shown}{nearest}")


def _what_failed(store: JobStore, job_id: str) -> list[Problem]:
    """Return what a trial's own error names, such as a metric that its training does not know."""
    error = store.load(job_id).error if job_id else None
    return [Problem(one.key, one.value, one.expected) for one in error.problems] if error is not None else []
