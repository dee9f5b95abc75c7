"""Measure a search's winner on the data of evaluate, which the search never saw."""

from __future__ import annotations

import logging
from typing import Any

from tao_skill.automl.history import SearchHistory
from tao_skill.bank.skill import Skill
from tao_skill.errors import TaoSkillError
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.launch_action import launch_action, make_ready
from tao_skill.run.redaction import redacted
from tao_skill.run.request import RunRequest
from tao_skill.storage.locate import is_redacted

__all__ = ["evaluate_winner", "lacks_evaluation"]

_log = logging.getLogger(__name__)
_ACTION = "evaluate"


def lacks_evaluation(record: JobRecord, history: SearchHistory) -> bool:
    """Say whether a search is complete but for its final evaluation: it was killed in between, or that failed."""
    final = history.final_evaluation
    missing = record.status == JobStatus.COMPLETE and (final is None or final["status"] == "failed")
    return missing and bool(history.settings.get("run_final_evaluation", True))


def evaluate_winner(skill: Skill, store: JobStore, record: JobRecord, data_root: str | None) -> dict[str, Any]:
    """Run evaluate on the winner and return its job and metrics, or why there are none; the search is done either way.

    The data are those that the skill's table names below ``data_root``; without it nothing was given to measure on.
    """
    if _ACTION not in skill.info.actions:
        return {"status": "skipped", "reason": f"the skill has no action {_ACTION}"}
    if not data_root:
        return {"status": "skipped", "reason": "no data of evaluate were given: --data-root names them"}
    if is_redacted(data_root):
        step = f"python -m tao_skill run evaluate --parent-job-id {record.job_id} --data-root URI"
        return {"status": "skipped", "reason": f"the data root was a signed link, which is kept nowhere: {step}"}
    request = RunRequest(
        action=_ACTION, skill=str(skill.directory), data_root=data_root, results_root=store.address,
        parent_job_id=record.job_id,
    )  # fmt: skip
    try:
        result = launch_action(make_ready(request))
    except Exception as error:  # of whatever kind: the search is complete
        reason = redacted(_reason(error))
        _log.warning("The winner could not be evaluated: %s", reason)
        return {"status": "failed", "reason": reason}
    if result.status != JobStatus.COMPLETE:
        reason = result.error.message if result.error else f"it ended as {result.status}"
        _log.warning("The winner could not be evaluated: %s", reason)
        return {"status": "failed", "job_id": result.job_id, "reason": reason}
    return {"status": "measured", "job_id": result.job_id, "metrics": result.metrics}


def _reason(error: Exception) -> str:
    if isinstance(error, TaoSkillError):
        return "; ".join([error.message, *map(str, error.problems)])
    return f"{type(error).__name__}: {error}"
