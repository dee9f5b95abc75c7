"""Checks a spec of a skill that this package has no dataclasses for: its schema is all there is to know."""

import difflib
from collections.abc import Mapping
from typing import Any

from tao_skill.config.keys import flatten, nest
from tao_skill.config.leaves import schema_leaves
from tao_skill.config.relations import relation_problems
from tao_skill.config.schema import schema_id
from tao_skill.config.schema_check import schema_problems
from tao_skill.errors import Problem

__all__ = ["foreign_problems", "is_own"]

_STANDARD_TYPES = {
    "float": "number", "double": "number", "int": "integer", "bool": "boolean", "list": "array", "list_2": "array",
    "list_3": "array", "dict": "object", "collection": "object", "subset_list": "array", "optional_list": "array",
}  # fmt: skip
# Types that name how a value is drawn, not what it is.
_OPEN_TYPES = {"categorical", "ordered", "ordered_int", "union", "const", "enum"}


def is_own(action: str, schema: Mapping[str, Any]) -> bool:
    """Say whether a schema is the one that is made from this package's dataclasses."""
    return bool(schema.get("$id") == schema_id(action))


def foreign_problems(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Problem]:
    """Return every problem of a nested spec: unknown keys, values that the schema refuses, broken relations."""
    leaves = schema_leaves(schema)
    known = {leaf.key for leaf in leaves}
    flat = flatten(spec)
    problems = [
        Problem(key, value, _nearest(key, known))
        for key, value in flat.items()
        if key not in known and value not in ({}, None) and not any(key.startswith(f"{one}.") for one in known)
    ]
    sound = nest({key: value for key, value in flat.items() if key in known and value is not None})
    problems += schema_problems(sound, _standard(schema))
    wrong = {problem.key for problem in problems}
    return problems + [one for one in relation_problems(leaves, flat) if one.key not in wrong]


def _standard(node: Any) -> Any:
    """Return a schema with the standard's names of types, so that a validator can read it."""
    if not isinstance(node, Mapping):
        return node
    result = dict(node)
    kind = node.get("type")
    if isinstance(kind, str) and kind in _OPEN_TYPES:
        del result["type"]
    elif isinstance(kind, str):
        result["type"] = _STANDARD_TYPES.get(kind, kind)
    result.pop("default", None)
    if isinstance(node.get("properties"), Mapping):
        # Some generators leave lists of names among the properties.
        result["properties"] = {
            name: _standard(child) for name, child in node["properties"].items() if isinstance(child, Mapping)
        }
    if isinstance(node.get("anyOf"), list):
        result["anyOf"] = [_standard(branch) for branch in node["anyOf"]]
    return result


def _nearest(key: str, known: set[str]) -> str:
    near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.6)
    return f"no such key; the nearest is {near[0]}" if near else "no such key"
