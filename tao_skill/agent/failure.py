"""Turn errors into data that an agent can act on: what was wrong, what is allowed, which call to make next."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from tao_skill.agent.answers import Call, Failure, ProblemFact
from tao_skill.errors import InternalError, Problem, TaoSkillError
from tao_skill.jobs.record import JobRecord, JobStatus, RecordedError

__all__ = ["MOST_TOLD", "failure_of", "invalid_arguments", "problem_facts", "recorded_failure"]

MOST_TOLD = 40
"""Problems, and warnings, that one answer tells."""

_LONGEST_VALUE = 300
_OPTION = re.compile(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)")
_SHELL = re.compile(r"python -m tao_skill|^-|\bjobs (show|logs|resume|upload|list)\b|the same command")


def failure_of(error: BaseException, tool: str, arguments: Mapping[str, Any]) -> Failure:
    """Return what an agent is told of an error that a tool raised."""
    if not isinstance(error, TaoSkillError):
        line = " ".join(str(error).split())[:_LONGEST_VALUE]
        error = InternalError(f"Unexpected {type(error).__name__}{': ' + line if line else ''}")
    hint = "" if _SHELL.search(error.next_step) else error.next_step
    more = len(error.problems) - MOST_TOLD
    return Failure(
        code=error.code,
        message=error.message + (f" The first {MOST_TOLD} are told; {more} more are left out." if more > 0 else ""),
        problems=problem_facts(error.problems),
        next_call=_next_call(error, tool, dict(arguments)),
        hint=hint,
    )


def recorded_failure(error: RecordedError, record: JobRecord, search: JobRecord | None) -> Failure:
    """Return what an agent is told of a job that failed; a trial is its ``search``'s to go on with."""
    problems = [Problem(one.key, one.value, one.expected) for one in error.problems]
    known = TaoSkillError(error.message, problems=problems, next_step=error.next_step)
    failure = failure_of(known, "", {})
    failure.code = error.code
    failure.next_call = Call(tool="logs", arguments={"job_id": record.job_id}, why="see what it said last")
    if record.action != "train" or problems:
        return failure
    if search is None:
        why = "go on from its last checkpoint"
        failure.next_call = Call(tool="resume", arguments={"job_id": record.job_id}, why=why)
    elif search.status in (JobStatus.ERROR, JobStatus.CANCELED):
        why = "the search that it is a trial of goes on"
        failure.next_call = Call(tool="resume", arguments={"job_id": search.job_id}, why=why)
    return failure


def invalid_arguments(error: ValidationError, tool: str, model: type[BaseModel], given: Mapping[str, Any]) -> Failure:
    """Return what an agent is told of arguments that don't fit the tool's schema."""
    problems = []
    for one in error.errors(include_url=False, include_context=False)[:MOST_TOLD]:
        key = ".".join(str(part) for part in one["loc"]) or "arguments"
        allowed = one["msg"]
        if one["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, model.model_fields, n=1)
            known = ", ".join(model.model_fields)
            allowed = f"no such argument; did you mean {near[0]}?" if near else f"no such argument; known are {known}"
        missing = one["type"] == "missing"
        problems.append(ProblemFact(key=key, value=None if missing else _short(one["input"]), allowed=allowed))
    wrong = {problem.key.partition(".")[0] for problem in problems}
    kept = {name: value for name, value in given.items() if name not in wrong}
    return Failure(
        code="invalid_arguments",
        message=f"The arguments of {tool} don't fit its schema.",
        problems=problems,
        next_call=Call(tool=tool, arguments=kept, why="with these corrected, beside what is right already"),
    )


def problem_facts(problems: Sequence[Problem]) -> list[ProblemFact]:
    """Return the first problems as data: options of the command line become arguments, and long texts are cut."""
    return [
        ProblemFact(key=_cut(_as_argument(one.key)), value=_short(one.value), allowed=_cut(_as_argument(one.expected)))
        for one in problems[:MOST_TOLD]
    ]


def _as_argument(text: str) -> str:
    return _OPTION.sub(lambda found: found[1].replace("-", "_"), text)


def _short(value: Any) -> Any:
    if isinstance(value, int | float | bool | None):
        return value
    return _cut(value if isinstance(value, str) else repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= 4 * _LONGEST_VALUE else f"{text[: 4 * _LONGEST_VALUE]} …"


def _next_call(error: TaoSkillError, tool: str, arguments: dict[str, Any]) -> Call | None:
    keys = [_as_argument(problem.key) for problem in error.problems]
    right = {name: value for name, value in arguments.items() if name not in keys}
    again = Call(tool=tool, arguments=right, why="once what is named in problems is right") if tool else None
    match error.code:
        case "not_available" if "automl_policy" in keys:
            policy = {"automl_policy": "off"}
            again = Call(tool=tool, arguments=arguments | policy, why="train with the values of the spec")
        case "spec_error" if any(key.startswith("dataset.") for key in keys) and _lacks_data(error, arguments):
            again = Call(tool="list_skills", why="its data_sources say what each action reads below data_root")
        case "spec_error" if not set(keys) & set(arguments.get("automl") or ()):
            again = _schema_call(error, arguments)
        case "skill_error":
            again = Call(tool="list_skills", why="see which skills there are")
        case "checkpoint_error" if arguments.get("action") == "gen_trt_engine" and arguments.get("parent_job_id"):
            export = {"action": "export", "parent_job_id": arguments["parent_job_id"]}
            again = Call(tool="plan", arguments=export, why="an engine is built from an export's ONNX file")
        case "job_error" | "checkpoint_error" if "job_id" in arguments or "parent_job_id" in arguments:
            again = Call(tool="status", why="see which jobs there are and how they stand")
        case "key_conflict":
            without = {name: value for name, value in arguments.items() if name != "idempotency_key"}
            again = Call(tool=tool, arguments=without, why="with a new idempotency_key")
        case "internal_error":
            again = None
    return again


def _lacks_data(error: TaoSkillError, arguments: Mapping[str, Any]) -> bool:
    return not arguments.get("data_root") and any("no such key" not in one.expected for one in error.problems)


def _schema_call(error: TaoSkillError, arguments: Mapping[str, Any]) -> Call:
    first = error.problems[0] if error.problems else None
    known = re.search(r"the nearest is ([\w.]+)", first.expected) if first else None
    wanted = known[1] if known else first.key if first else ""
    match = "" if wanted.startswith("-") else wanted.rpartition(".")[2]
    return Call(
        tool="show_schema",
        arguments={"action": arguments.get("action", "train"), "match": match},
        why="see the parameter with its bounds",
    )
