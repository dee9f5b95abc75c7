"""Checks a spec, and tells all that is wrong with it at once."""

import difflib
import math
from collections.abc import Mapping
from typing import Any

import jsonschema

from tao_skill.config.actions import spec_class
from tao_skill.config.keys import flatten, merge, nest
from tao_skill.config.leaves import known_keys, leaves
from tao_skill.config.no_effect import no_effect_warnings
from tao_skill.config.placeholder import is_given, is_placeholder
from tao_skill.config.relations import relation_problems
from tao_skill.config.rules import cross_field_problems
from tao_skill.config.schema import json_schema, template
from tao_skill.config.typed import typed_spec
from tao_skill.errors import Problem

__all__ = ["check_spec", "expectation", "is_given", "is_placeholder", "own_leaves"]


def check_spec(
    action: str, spec: Mapping[str, Any], schema: Mapping[str, Any] | None = None
) -> tuple[list[Problem], list[str]]:
    """Return every problem of a nested spec, and warnings about keys that do nothing.

    A spec may leave out what it does not set; defaults are filled in before the rules that bind several keys. The
    schema is the skill's packaged one, or the dataclasses' own. Keys that another action reads are warned of, and
    left aside; unknown keys are problems that name the nearest known key.
    """
    spec_class(action)
    read, problems, warnings = _split_keys(action, spec)
    problems += _schema_problems(nest(read), schema or json_schema(action))
    # The rules that bind several keys see a default wherever a value is no good, so that they can speak as well.
    wrong = {problem.key for problem in problems}
    sound = {key: value for key, value in read.items() if key not in wrong}
    complete = merge(template(action), nest(sound))
    typed = typed_spec(action, complete)
    bound = [*relation_problems(leaves(action), flatten(complete)), *cross_field_problems(action, typed)]
    problems += [problem for problem in bound if problem.key not in wrong]
    warnings += no_effect_warnings(action, typed, _changed(action, read))
    return problems, warnings


def own_leaves(action: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the leaves of a nested spec that the action reads, by dotted key."""
    own = {leaf.key for leaf in leaves(action)}
    return {key: value for key, value in flatten(spec).items() if key in own}


def _split_keys(action: str, spec: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem], list[str]]:
    """Sort the leaves of a spec into those the action reads, unknown ones (problems) and other actions' (warnings)."""
    read = own_leaves(action, spec)
    sections = {key.rsplit(".", depth)[0] for key in known_keys() for depth in range(1, key.count(".") + 1)}
    problems: list[Problem] = []
    warnings: list[str] = []
    others = {key: value for key, value in flatten(spec).items() if key not in read}
    for key, value in others.items():
        readers = known_keys().get(key)
        if readers:
            warnings.append(f"{key} is not read by {action}, only by {', '.join(readers)}.")
        elif key in sections and value in ({}, None):
            continue  # an empty section sets nothing
        elif key in sections:
            problems.append(Problem(key, value, "a section with settings of its own, not a value"))
        else:
            problems.append(Problem(key, value, _nearest(key)))
    return read, problems, warnings


def _nearest(key: str) -> str:
    last = key.rpartition(".")[2]
    same_name = [known for known in known_keys() if known.rpartition(".")[2] == last]
    close = difflib.get_close_matches(key, same_name or known_keys(), n=1, cutoff=0.6) or same_name[:1]
    return f"no such key; the nearest is {close[0]}" if close else "no such key"


def _changed(action: str, read: Mapping[str, Any]) -> dict[str, Any]:
    """Return what differs from the template: only that can have been a user's wish."""
    defaults = flatten(template(action))
    return nest({key: value for key, value in read.items() if defaults.get(key) != value})


def _schema_problems(nested: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Problem]:
    validator = jsonschema.Draft202012Validator(schema)
    # One leaf may break two keywords that say the same in two dialects: it is one problem.
    problems = {_key(error): _problem(error) for error in validator.iter_errors(nested)}
    for key, value in flatten(nested).items():
        numbers = value if isinstance(value, list) else [value]
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            problems[key] = Problem(key, str(value), "a finite number")
    return [problems[key] for key in sorted(problems)]


def _key(error: jsonschema.ValidationError) -> str:
    return ".".join(part for part in error.absolute_path if isinstance(part, str))


def _problem(error: jsonschema.ValidationError) -> Problem:
    whole = error
    while isinstance(whole.parent, jsonschema.ValidationError):
        whole = whole.parent
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
