"""Measure a search's winner on the data of evaluate, which the search never saw."""

from __future__ import annotations

import logging
from typing import Any

from tao_skill.errors import TaoSkillError
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.launch_action import launch_action, make_ready
from tao_skill.run.prepare_search import PreparedSearch
from tao_skill.run.request import RunRequest

__all__ = ["evaluate_winner"]

_log = logging.getLogger(__name__)
_ACTION = "evaluate"


def evaluate_winner(
    prepared: PreparedSearch, store: JobStore, record: JobRecord, data_root: str | None
) -> dict[str, Any]:
    """Run evaluate on the winner and return its job and metrics, or why there are none.

    The data are those that the skill's table names below ``data_root``; without it nothing was given to measure on.
    """
    if _ACTION not in prepared.skill.info.actions:
        return {"status": "skipped", "reason": f"the skill has no action {_ACTION}"}
    if not data_root:
        return {"status": "skipped", "reason": "no data of evaluate were given: --data-root names them"}
    request = RunRequest(
        action=_ACTION, skill=str(prepared.skill.directory), data_root=data_root, results_root=store.address,
        parent_job_id=record.job_id,
    )  # fmt: skip
    try:
        result = launch_action(make_ready(request))
    except TaoSkillError as error:
        _log.warning("The winner could not be evaluated: %s", error.message)
        reason = "; ".join([error.message, *map(str, error.problems)])
        return {"status": "skipped", "reason": reason}
    if result.status != JobStatus.COMPLETE:
        return {"status": "failed", "job_id": result.job_id, "reason": result.error.message if result.error else ""}
    return {"status": "measured", "job_id": result.job_id, "metrics": result.metrics}
