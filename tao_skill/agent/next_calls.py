"""The calls that an answer suggests are about the same jobs and the same skill as the call that it answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from tao_skill.agent.answers import Call
from tao_skill.agent.tools import tool_named

__all__ = ["keep_place"]

_PLACE = ("results_root", "skill")


def keep_place(answer: BaseModel, given: Mapping[str, Any]) -> None:
    """Give each call in an answer the results root and the skill that were given, where its tool takes them."""
    for call in _calls(answer):
        tool = tool_named(call.tool)
        known = tool.request.model_fields if tool else {}
        kept = {name: given[name] for name in _PLACE if name in known and given.get(name) is not None}
        call.arguments = kept | call.arguments


def _calls(value: Any) -> Iterator[Call]:
    """Find the calls in an answer; what a call's own arguments hold is the user's."""
    if isinstance(value, Call):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _calls(getattr(value, name))
    elif isinstance(value, list):
        for one in value:
            yield from _calls(one)
