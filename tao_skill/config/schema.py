"""JSON Schema and template of each action, from its dataclass.

The schemas are plain draft 2020-12, inlined, with no reference to elsewhere: strict AutoML loaders follow none, and
take no list of types. Facts for AutoML engines are extra keywords, which validators ignore.
"""

from collections.abc import Iterator
from dataclasses import is_dataclass
from functools import cache
from typing import Any, cast

from tao_skill.config.keys import flatten
from tao_skill.config.starting_points import STARTING_POINTS

__all__ = ["NETWORK_ARCH", "SCHEMA_VERSION", "built_schema", "json_schema", "schema_id", "template", "use_packaged"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NETWORK_ARCH = "ml_recog"
SCHEMA_VERSION = "1.0"


_PACKAGED: dict[str, dict[str, Any]] = {}


@cache
def built_schema(action: str) -> dict[str, Any]:
    """Return the JSON Schema of an action, made from its dataclass; the caller must not change it.

    Raises:
        UsageError: there is no such action.
    """
    from tao_skill.config.actions import spec_adapter, spec_class

    raw = spec_adapter(action).json_schema()
    definitions = raw.pop("$defs", {})
    properties = _inline(raw, definitions)["properties"]
    default = _defaults(spec_class(action))
    for name, node in properties.items():
        _with_defaults(node, default[name])
    found = dict(_nodes("", properties))
    flat = flatten(default)
    return {
        "$schema": DIALECT,
        "$id": schema_id(action),
        "title": f"{NETWORK_ARCH} {action}",
        "description": f"Spec of the {action} action.",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "default": default,
        "automl_default_parameters": [key for key, node in found.items() if node.get("automl_enabled") is True],
        "automl_disabled_parameters": [key for key, node in found.items() if node.get("automl_enabled") is False],
        "automl_starting_points": STARTING_POINTS.get(action, []),
        "popular": {key: flat[key] for key, node in found.items() if node.get("popular")},
        "x_tao_schema": {
            "action": action,
            "network_arch": NETWORK_ARCH,
            "schema_version": SCHEMA_VERSION,
            "source": "tao_skill.config",
        },
    }


def schema_id(action: str) -> str:
    """Return the name that the JSON Schema of an action bears."""
    return f"urn:tao-skill:{NETWORK_ARCH}:{action}:{SCHEMA_VERSION}"


def json_schema(action: str) -> dict[str, Any]:
    """Return the JSON Schema of an action, the packaged one where it was read; the caller must not change it.

    Raises:
        UsageError: there is no such action.
    """
    return _PACKAGED.get(action) or built_schema(action)


def use_packaged(action: str, document: dict[str, Any]) -> None:
    """Take the packaged schema of an action from now on: the same document, which takes a tenth of a second to make."""
    if document.get("$id") == schema_id(action):
        _PACKAGED.setdefault(action, cast(dict[str, Any], _copy(document)))


def template(action: str) -> dict[str, Any]:
    """Return every default of an action as one nested spec: the schema's own ``default``."""
    return cast(dict[str, Any], _copy(json_schema(action)["default"]))


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy(child) for name, child in value.items()}
    return [_copy(child) for child in value] if isinstance(value, list) else value


def _defaults(section: Any) -> dict[str, Any]:
    """Return the defaults of a section, without an instance, for which each section below would build a validator."""
    return {
        name: _defaults(field.default_factory)
        if is_dataclass(field.default_factory)
        else field.get_default(call_default_factory=True)
        for name, field in section.__pydantic_fields__.items()
    }


def _inline(node: Any, definitions: dict[str, Any]) -> Any:
    """Put what a reference names in the reference's place."""
    if isinstance(node, list):
        return [_inline(child, definitions) for child in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        node = {**target, **{name: value for name, value in node.items() if name != "$ref"}}
    return {name: _inline(value, definitions) for name, value in node.items()}


def _with_defaults(node: dict[str, Any], default: Any) -> None:
    """Write the dataclass's own defaults into the leaves, and close the sections, which have none of their own."""
    if "properties" in node:
        node.pop("default", None)
        node["additionalProperties"] = False
        # Engines search leaves; a section as a whole is never drawn.
        node["automl_enabled"] = False
        for name, child in node["properties"].items():
            _with_defaults(child, default[name])
    else:
        node["default"] = default


def _nodes(prefix: str, properties: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every section and leaf under its dotted key, sections before what they hold."""
    for name, node in properties.items():
        yield f"{prefix}{name}", node
        yield from _nodes(f"{prefix}{name}.", node.get("properties", {}))
