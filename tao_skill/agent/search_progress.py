"""How far a search over trainings is, from its history."""

from __future__ import annotations

from collections import Counter

from tao_skill.agent.answers import SearchProgress
from tao_skill.errors import JobError
from tao_skill.jobs.reconcile import action_folder
from tao_skill.jobs.record import JobRecord

__all__ = ["search_progress"]


def search_progress(record: JobRecord) -> SearchProgress | None:
    """Return how a search stands; None for any other job, and before its first trial."""
    if record.action != "train":
        return None
    from tao_skill.automl.history import HISTORY_FILE

    if not (action_folder(record) / HISTORY_FILE).is_file():
        return None
    from tao_skill.run.search_history import load_history

    try:
        history = load_history(record)
    except JobError:
        return None
    best = history.best()
    most = history.settings.get("automl_max_recommendations")
    return SearchProgress(
        metric=history.metric,
        trials=dict(Counter(trial.state for trial in history.trials)),
        most_trials=most if isinstance(most, int) else None,
        baseline=history.baseline,
        best=best.best_value if best else None,
        best_job_id=best.job_id or None if best else None,
        ended_because=history.end_reason,
    )
