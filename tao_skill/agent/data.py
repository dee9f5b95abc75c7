"""The tool that looks at data before anything is trained on it."""

from __future__ import annotations

from typing import Any

from tao_skill.agent.answers import Call, CheckDataAnswer
from tao_skill.agent.desk import Desk
from tao_skill.agent.failure import MOST_TOLD, problem_facts
from tao_skill.agent.guard import check_links, check_request
from tao_skill.agent.requests import CheckDataRequest
from tao_skill.bank.skill import find_skill
from tao_skill.errors import Problem

__all__ = ["check_data"]

_CLASSES_AT_EACH_END = 20
_ACTIONS = ("train", "evaluate")


def check_data(request: CheckDataRequest, desk: Desk) -> CheckDataAnswer:
    """Count, decode and compare the images of data sets."""
    from tao_skill.run.data_check import DataCheckRequest
    from tao_skill.run.data_check import check_data as look

    named = request.model_dump(include={"data_root", "train", "reference", "query", "class_map"})
    check_request(named, request.skill, desk.roots)
    sets = {role: [uri] for role, uri in named.items() if uri and role not in ("data_root", "class_map")}
    check_links(sets | _below_root(request), desk.roots)
    report = look(DataCheckRequest(**request.model_dump()), desk.progress)
    problems = [Problem(one["key"], one["value"], one["expected"]) for one in report["problems"]]
    return CheckDataAnswer(
        ok=report["ok"],
        sets=[_bounded(one) for one in report["sets"]],
        problems=problem_facts(problems),
        total_problems=len(problems),
        warnings=report["warnings"][:MOST_TOLD],
        next_call=_plan_call(request) if report["ok"] else None,
    )


def _bounded(described: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of a set; of very many classes the largest and the smallest are named."""
    counts = sorted(described.get("class_counts", {}).items(), key=lambda one: (-one[1], one[0]))
    if len(counts) <= 2 * _CLASSES_AT_EACH_END:
        return described
    return described | {"class_counts": dict([*counts[:_CLASSES_AT_EACH_END], *counts[-_CLASSES_AT_EACH_END:]])}


def _plan_call(request: CheckDataRequest) -> Call:
    """Return the plan of a run on the same data, as far as they were named."""
    from tao_skill.run.data_check import SPEC_KEYS

    overrides = {key: uri for role, key in SPEC_KEYS.items() if (uri := getattr(request, role))}
    overrides |= {"dataset.class_map": request.class_map} if request.class_map else {}
    action = request.action or ("train" if request.data_root or request.train else "evaluate")
    known = {"action": action, "data_root": request.data_root, "overrides": overrides}
    arguments = {name: value for name, value in known.items() if value}
    return Call(tool="plan", arguments=arguments, why="see what a run would do")


def _below_root(request: CheckDataRequest) -> dict[str, list[str]]:
    from tao_skill.run.data_sources import fill_data_sources

    if not request.data_root:
        return {}
    skill = find_skill(request.skill)
    found: dict[str, list[str]] = {}
    for action in (request.action,) if request.action else _ACTIONS:
        filled, _ = fill_data_sources(skill.data_source_rows(action), request.data_root, {})
        found |= {f"{action} {key}": [uri] for key, uri in filled.items() if isinstance(uri, str) and uri}
    return found
