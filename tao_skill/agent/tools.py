"""The tools: name, what they are for, request, answer and function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from tao_skill.agent import answers, catalogue, data, follow, launch, requests

__all__ = ["TOOLS", "Tool", "tool_named"]


@dataclass(frozen=True)
class Tool:
    """One tool.

    ``reads_only``: it changes nothing; ``repeatable``: calling it again changes nothing more; ``destroys``: it may end
    or overwrite what is there; ``reaches_out``: it may fetch from servers that its arguments name.
    """

    name: str
    title: str
    description: str
    request: type[BaseModel]
    answer: type[BaseModel]
    function: Callable[[Any, Any], BaseModel]
    reads_only: bool = True
    repeatable: bool = True
    destroys: bool = False
    reaches_out: bool = False


_PLAN = (
    "Decide everything of a run and start nothing: complete settings, data, parent model, who does the work, and all "
    "problems at once. Use it before run, and whenever something is unclear. Free: seconds, writes nothing."
)
_RUN = (
    "Start train, evaluate, inference, export or gen_trt_engine as a job that goes on by itself, and return its id at "
    "once. Use it when plan shows what you want. Costs: evaluation minutes, training minutes to days of CPU or GPU. "
    "idempotency_key names the job: the same call again returns the same job and starts nothing."
)
TOOLS = (
    Tool(
        "list_skills", "List skills",
        "List what can be trained, with each skill's actions and the data each action reads. Use it first, or when "
        "data paths are unclear. Free.",
        requests.ListSkillsRequest, answers.SkillsAnswer, catalogue.list_skills,
    ),
    Tool(
        "show_schema", "Show parameters",
        "Show an action's parameters: default, bounds, choices, meaning. Use it to find the key for a wish, or what a "
        "key allows; match narrows it down. Free; 40 parameters at a time.",
        requests.ShowSchemaRequest, answers.SchemaAnswer, catalogue.show_schema,
    ),
    Tool(
        "check_spec", "Check a spec",
        "Tell everything that is wrong with a spec, with the nearest known key for a typo. Use it for a spec written "
        "by hand or for another program; plan checks the settings of a run by itself. Free.",
        requests.CheckSpecRequest, answers.CheckSpecAnswer, catalogue.check_spec,
    ),
    Tool(
        "check_data", "Check data",
        "Count, decode and compare the images of data sets: damage, class names, duplicates, sizes. Use it for data "
        "that are new, or when a run complains of its data. Costs seconds to minutes: every image is read.",
        requests.CheckDataRequest, answers.CheckDataAnswer, data.check_data, reaches_out=True,
    ),
    Tool("plan", "Plan a run", _PLAN, requests.PlanRequest, answers.PlanAnswer, launch.plan, reaches_out=True),
    Tool(
        "run", "Start a run", _RUN, requests.RunJobRequest, answers.JobsAnswer, launch.run,
        reads_only=False, destroys=True, reaches_out=True,  # export.force overwrites the file that is named
    ),
    Tool(
        "status", "Follow jobs",
        "Tell where a job stands: epoch, newest metrics, error. With wait_seconds it returns when the job ends or the "
        "time is up. Without job_id it lists the newest jobs. Use it after run. Free.",
        requests.StatusRequest, answers.JobsAnswer, follow.status,
    ),
    Tool(
        "logs", "Read a log",
        "Return a piece of a job's log, the end by default; next_call gets what went before. Use it when a job failed "
        "or looks wrong. Free; at most 500 lines a call.",
        requests.LogsRequest, answers.LogsAnswer, follow.logs,
    ),
    Tool(
        "result", "Read a result",
        "Return how a job ended: final metrics, checkpoint, files, or the error with the way on. Use it once status "
        "says ended. Free.",
        requests.ResultRequest, answers.ResultAnswer, follow.result,
    ),
    Tool(
        "cancel", "Cancel a job",
        "End a job: asked first, killed after 20 seconds. Its checkpoints stay, and a training can be resumed. Use it "
        "only when the user wants the job ended. Calling it again is harmless.",
        requests.CancelRequest, answers.JobsAnswer, follow.cancel, reads_only=False, destroys=True,
    ),
    Tool(
        "resume", "Resume a training or a search",
        "Go on with a training or a search that broke off or was canceled, under the same id, from its newest "
        "checkpoints; a search with another budget, if wanted. Costs what is left of it. A job that runs already is "
        "left alone.",
        requests.ResumeRequest, answers.JobsAnswer, launch.resume, reads_only=False, reaches_out=True,
    ),
)  # fmt: skip


def tool_named(name: str) -> Tool | None:
    """Return the tool of this name."""
    return next((tool for tool in TOOLS if tool.name == name), None)
