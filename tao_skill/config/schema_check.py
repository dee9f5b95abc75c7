"""Checks values against a JSON Schema and says in words what was expected; every problem at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from tao_skill.config.keys import flatten
from tao_skill.config.quick_check import surely_valid
from tao_skill.errors import Problem

if TYPE_CHECKING:
    import jsonschema

__all__ = ["expectation", "schema_problems"]


def schema_problems(nested: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with nested values, one problem for each leaf."""
    problems = {} if surely_valid(nested, schema) else _broken(nested, schema)
    for key, value in flatten(nested).items():
        numbers = value if isinstance(value, list) else [value]
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            problems[key] = Problem(key, str(value), "a finite number")
    return [problems[key] for key in sorted(problems)]


def _broken(nested: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Problem]:
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema)
    # One leaf may break two keywords that say the same in two dialects: it is one problem.
    return {_key(error): _problem(error) for error in validator.iter_errors(nested)}


def _key(error: jsonschema.ValidationError) -> str:
    return ".".join(part for part in error.absolute_path if isinstance(part, str))


def _problem(error: jsonschema.ValidationError) -> Problem:
    whole = error
    while whole.parent is not None:
        whole = cast("jsonschema.ValidationError", whole.parent)
    return Problem(_key(error), error.instance, expectation(whole.schema))


def expectation(node: Any) -> str:
    """Say in words what a node of a JSON Schema allows."""
    if not isinstance(node, Mapping):
        return "another value"
    branches = [branch for branch in node.get("anyOf", [node]) if branch.get("type") != "null"]
    value = branches[0] if branches else node
    kind = {
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "string": "a text",
        "array": "a list",
        "object": "a section",
    }.get(str(value.get("type")), "a value")
    if "enum" in value:
        return f"one of {', '.join(map(str, value['enum']))}"
    limits = _limits(value)
    if value.get("type") == "array" and "items" in value:
        kind = f"a list, each entry {expectation(value['items'])}"
    return f"{kind}{limits}" + (" or null" if "anyOf" in node else "")


def _limits(value: Mapping[str, Any]) -> str:
    words = []
    if "exclusiveMinimum" in value:
        words.append(f"above {value['exclusiveMinimum']}")
    elif "minimum" in value:
        words.append(f"at least {value['minimum']}")
    if "maximum" in value:
        words.append(f"at most {value['maximum']}")
    if "minItems" in value:
        least, most = value["minItems"], value.get("maxItems", value["minItems"])
        words.append(f"with {least} entries" if least == most else f"with {least} to {most} entries")
    if "minLength" in value:
        words.append("not empty")
    return f", {' and '.join(words)}" if words else ""
