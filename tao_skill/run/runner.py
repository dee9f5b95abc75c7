"""A run, step by step: the story in one place."""

from __future__ import annotations

from tao_skill.jobs.process import Screen
from tao_skill.jobs.record import JobStatus
from tao_skill.run.dispatch import AUTOML
from tao_skill.run.launch_action import launch_action, make_ready
from tao_skill.run.launch_search import launch_search
from tao_skill.run.program import CommandFor
from tao_skill.run.request import RunRequest
from tao_skill.run.result import RunResult, result_of

__all__ = ["run"]


def run(
    request: RunRequest,
    *,
    job_id: str | None = None,
    echo: Screen | None = None,
    command_for: CommandFor | None = None,
) -> RunResult:
    """Plan, bring the inputs here, start the action or the search, and return how it ended.

    ``job_id`` names a job whose record is written already and that this process takes over. ``echo`` gets a copy of
    the action's log; ``command_for`` gives the command line that runs an action.

    Raises:
        TaoSkillError: the run could not start; once it has started, the result carries the error.
    """
    ready = make_ready(request, job_id)
    if ready.record.status == JobStatus.CANCELED:
        return result_of(ready.record)
    if ready.plan.dispatch == AUTOML:
        return launch_search(request, ready.skill, ready.plan, ready.spec, store=ready.store, record=ready.record)
    return launch_action(ready, echo=echo, command_for=command_for)
