"""Tools that tell what the bank holds: skills, and the parameters of their actions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tao_skill.agent.answers import (
    Call,
    CheckSpecAnswer,
    Parameter,
    SchemaAnswer,
    SkillFact,
    SkillsAnswer,
    Source,
)
from tao_skill.agent.desk import Desk
from tao_skill.agent.failure import MOST_TOLD, problem_facts
from tao_skill.agent.guard import check_request, check_spec_places
from tao_skill.agent.requests import CheckSpecRequest, ListSkillsRequest, ShowSchemaRequest
from tao_skill.bank.skill import DEFAULT_SKILL, SkillSummary, find_skill, list_summaries, load_skill
from tao_skill.errors import Problem, SkillError

__all__ = ["check_spec", "list_skills", "show_schema"]

_WORD = re.compile(r"[^\W_]+")


def list_skills(request: ListSkillsRequest, desk: Desk) -> SkillsAnswer:
    """List the skills, with what each action reads."""
    check_request({}, request.skill, desk.roots)
    found = list_summaries()
    wanted = [one for one in found if request.skill in (None, one.name)]
    if not wanted:
        known = ", ".join(one.name for one in found)
        raise SkillError(
            f"There is no skill {request.skill!r}.", problems=[Problem("skill", request.skill, f"one of {known}")]
        )
    call = Call(tool="plan", arguments={"action": "train", "skill": DEFAULT_SKILL}, why="see what a run would do")
    return SkillsAnswer(skills=[_fact(one) for one in wanted], next_call=call)


def show_schema(request: ShowSchemaRequest, desk: Desk) -> SchemaAnswer:
    """Show parameters of an action with their defaults and bounds."""
    check_request({}, request.skill, desk.roots)
    schema = find_skill(request.skill).schema(request.action)
    asked = request.match.lower()
    every = _parameters("", schema["properties"])
    found = _that_hold(asked.split(), every) or _that_hold(_WORD.findall(asked), every)
    end = request.offset + request.limit
    known = request.model_dump(exclude_defaults=True)
    rest = Call(tool="show_schema", arguments=known | {"offset": end}, why="the rest")
    if not found:
        rest = Call(tool="show_schema", arguments={"action": request.action}, why="nothing fits; see all")
    return SchemaAnswer(
        action=request.action,
        parameters=found[request.offset : end],
        total=len(found),
        next_call=rest if end < len(found) or not found else None,
    )


def check_spec(request: CheckSpecRequest, desk: Desk) -> CheckSpecAnswer:
    """Tell everything that is wrong with a spec."""
    from tao_skill.config.check import check_spec as check
    from tao_skill.config.keys import nest
    from tao_skill.run.overrides import flat_overrides

    check_request({}, request.skill, desk.roots)
    skill = find_skill(request.skill)
    nested = nest(flat_overrides(request.spec))
    check_spec_places(skill, nested, desk.roots)
    problems, warnings = check(request.action, nested, skill.schema(request.action))
    plan = Call(
        tool="plan", arguments={"action": request.action, "overrides": request.spec}, why="see what a run would do"
    )
    look = Call(tool="show_schema", arguments={"action": request.action}, why="see every key with its bounds")
    return CheckSpecAnswer(
        valid=not problems,
        problems=problem_facts(problems),
        total_problems=len(problems),
        warnings=warnings[:MOST_TOLD],
        next_call=look if problems else plan,
    )


def _fact(summary: SkillSummary) -> SkillFact:
    actions: list[str] = []
    sources: list[Source] = []
    automl = "it trains no model of its own"
    if summary.is_model:
        skill = load_skill(summary.directory)
        runnable, reason = skill.automl_runnable()
        enabled = "on by default; automl_policy off trains plainly" if runnable else f"enabled, but: {reason}"
        automl = enabled if skill.info.automl_enabled else "off"
        actions = list(skill.info.actions)
        sources = [Source(action=row.action, key=row.spec_key, files=_files(row.files)) for row in skill.data_sources]
    return SkillFact(
        name=summary.name,
        description=summary.description,
        actions=actions,
        data_sources=sources,
        automl=automl,
        document=f"skills/{summary.name}/SKILL.md",
    )


def _files(files: Any) -> dict[str, str]:
    return dict(files) if isinstance(files, Mapping) else {"": str(files)}


def _that_hold(words: Sequence[str], parameters: Sequence[Parameter]) -> list[Parameter]:
    return [one for one in parameters if all(word in f"{one.key} {one.description}".lower() for word in words)]


def _parameters(prefix: str, properties: Mapping[str, Any]) -> list[Parameter]:
    found: list[Parameter] = []
    for name, node in properties.items():
        key = f"{prefix}{name}"
        found += _parameters(f"{key}.", node["properties"]) if "properties" in node else [_parameter(key, node)]
    return found


def _parameter(key: str, node: Mapping[str, Any]) -> Parameter:
    from tao_skill.config.schema_check import expectation

    branches = [one for one in node.get("anyOf", [node]) if one.get("type") != "null"]
    return Parameter(
        key=key,
        type=branches[0].get("type", "any"),
        default=node.get("default"),
        allowed=expectation(node),
        description=node.get("description", ""),
    )
