"""Call a tool by its name with plain data, and get plain data back, whatever happens."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError

from tao_skill.agent.answers import Failure
from tao_skill.agent.desk import Desk
from tao_skill.agent.failure import failure_of, invalid_arguments
from tao_skill.agent.follow import watch
from tao_skill.agent.next_calls import keep_place
from tao_skill.agent.scrub import scrubbed
from tao_skill.agent.tools import TOOLS, Tool, tool_named
from tao_skill.config.keys import is_deeper
from tao_skill.errors import Problem, UsageError

__all__ = ["POLL_SECONDS", "Reply", "answer_of", "call_tool", "failed_reply", "read_arguments", "request_of"]

MOST_BYTES = 1_000_000
POLL_SECONDS = 0.5
_DEEPEST = 24


@dataclass(frozen=True)
class Reply:
    """What a call came to: the answer's document, or ``{"error": …}``."""

    document: dict[str, Any]
    failed: bool = False


def read_arguments(text: str) -> dict[str, Any]:
    """Return the JSON object that a caller sent.

    Raises:
        UsageError: no JSON object, or one that is too large or too deep.
    """
    if len(text) > MOST_BYTES:
        raise _refusal(f"{len(text)} letters", f"at most {MOST_BYTES}")
    try:
        document = json.loads(text, parse_constant=_refuse_constant) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise _refusal(text[:80], f"a JSON object ({error})") from error
    if not isinstance(document, dict):
        raise _refusal(text[:80], f"a JSON object, not a {type(document).__name__}")
    return document


def call_tool(name: str, arguments: Mapping[str, Any], desk: Desk) -> Reply:
    """Call a tool, and wait as long as it asks for; errors come as data, never as exceptions."""
    try:
        tool, request = request_of(name, arguments)
        answer = tool.function(request, desk)
        for newer in watch(answer, request, desk):
            answer = newer
            time.sleep(POLL_SECONDS)
        return answer_of(answer, request)
    except Exception as error:
        return failed_reply(error, name, arguments)


def request_of(name: str, arguments: Mapping[str, Any]) -> tuple[Tool, BaseModel]:
    """Return the tool and the checked request.

    Raises:
        UsageError: no such tool, or arguments that are too deep.
        ValidationError: arguments that don't fit the tool.
    """
    tool = tool_named(name)
    if tool is None:
        import difflib

        known = [one.name for one in TOOLS]
        near = difflib.get_close_matches(name, known, n=1)
        expected = f"did you mean {near[0]}?" if near else f"one of {', '.join(known)}"
        raise UsageError(f"There is no tool {name[:80]!r}.", problems=[Problem("tool", name[:80], expected)])
    if is_deeper(arguments, _DEEPEST):
        raise _refusal("deeper", f"at most {_DEEPEST} levels")
    return tool, tool.request.model_validate(dict(arguments))


def answer_of(answer: BaseModel, request: BaseModel) -> Reply:
    """Return the reply that carries the answer to a request."""
    keep_place(answer, request.model_dump())
    return Reply(scrubbed(answer.model_dump(mode="json")))


def failed_reply(error: Exception, name: str, arguments: Mapping[str, Any]) -> Reply:
    """Return the reply that carries an error."""
    tool = tool_named(name)
    if isinstance(error, ValidationError) and tool is not None and error.title == tool.request.__name__:
        failure: Failure = invalid_arguments(error, name, tool.request, arguments)
    else:
        failure = failure_of(error, name if tool else "", arguments)
    wrong = {problem.key.partition(".")[0] for problem in failure.problems}
    keep_place(failure, {name: value for name, value in arguments.items() if name not in wrong})
    return Reply({"error": scrubbed(failure.model_dump(mode="json"))}, failed=True)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _refusal(found: str, expected: str) -> UsageError:
    return UsageError("The arguments can't be read.", problems=[Problem("arguments", found, expected)])
