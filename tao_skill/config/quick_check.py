"""A quick look whether values surely obey a schema: the validator is loaded only where something may be wrong.

To load the validator takes a quarter of the time of a whole plan. This look knows the plain keywords that the schemas
of specs are made of. Of other keywords, and of values that it isn't sure of, it says so, and the validator decides.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["surely_valid"]

_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
_KNOWN = {
    "type", "enum", "anyOf", "properties", "required", "additionalProperties", "items", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "minLength", "maxLength",
}  # fmt: skip
# All that draft 2020-12 checks or follows; what it doesn't name there says nothing about a value.
_CHECKING = _KNOWN | {
    "$ref", "$dynamicRef", "allOf", "oneOf", "not", "if", "then", "else", "const", "contains", "minContains",
    "maxContains", "uniqueItems", "prefixItems", "unevaluatedItems", "unevaluatedProperties", "patternProperties",
    "propertyNames", "dependentSchemas", "dependentRequired", "dependencies", "minProperties", "maxProperties",
    "pattern", "multipleOf", "format",
}  # fmt: skip


def surely_valid(value: Any, node: Any) -> bool:
    """Say whether a value obeys a node of a schema beyond doubt; False means that the validator has to look."""
    if not isinstance(node, Mapping) or (_CHECKING - _KNOWN) & node.keys():
        return False
    if "anyOf" in node and not any(surely_valid(value, branch) for branch in node["anyOf"]):
        return False
    return (
        _is_of_type(value, node.get("type"))
        and ("enum" not in node or _is_among(value, node["enum"]))
        and _is_within(value, node)
        and _has_valid_children(value, node)
    )


def _is_of_type(value: Any, kind: Any) -> bool:
    if kind is None:
        return True
    if not isinstance(kind, str) or kind not in _TYPES:
        return False
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _is_among(value: Any, choices: Any) -> bool:
    return any(type(value) is type(choice) and value == choice for choice in choices)


def _is_within(value: Any, node: Mapping[str, Any]) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        # So written that NaN, for which no comparison holds, is in doubt.
        return all(
            (
                "minimum" not in node or value >= node["minimum"],
                "maximum" not in node or value <= node["maximum"],
                "exclusiveMinimum" not in node or value > node["exclusiveMinimum"],
                "exclusiveMaximum" not in node or value < node["exclusiveMaximum"],
            )
        )
    least, most = ("minItems", "maxItems") if isinstance(value, list) else ("minLength", "maxLength")
    if isinstance(value, list | str):
        return bool(node.get(least, 0) <= len(value) <= node.get(most, len(value)))
    return True


def _has_valid_children(value: Any, node: Mapping[str, Any]) -> bool:
    if isinstance(value, list):
        return "items" not in node or all(surely_valid(child, node["items"]) for child in value)
    if not isinstance(value, dict):
        return True
    properties = node.get("properties", {})
    if any(name not in value for name in node.get("required", ())):
        return False
    if node.keys() & {"additionalProperties"} and any(name not in properties for name in value):
        return False
    return all(surely_valid(child, properties[name]) for name, child in value.items() if name in properties)
