"""The tools as documents: one of our own, and the forms that others read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["DEFINITIONS_FILE", "FORMATS", "definitions", "packaged_definitions"]

DEFINITIONS_VERSION = "1.0"
DEFINITIONS_FILE = "tool_definitions.json"


def definitions() -> dict[str, Any]:
    """Return the tool definitions, made from the models."""
    from tao_skill.agent.answers import Failure
    from tao_skill.agent.tools import TOOLS

    return {
        "schema_version": DEFINITIONS_VERSION,
        "tools": [
            {
                "name": tool.name,
                "title": tool.title,
                "description": tool.description,
                "reads_only": tool.reads_only,
                "repeatable": tool.repeatable,
                "destroys": tool.destroys,
                "reaches_out": tool.reaches_out,
                "input_schema": _inlined(tool.request.model_json_schema()),
                "output_schema": _inlined(tool.answer.model_json_schema(mode="serialization")),
            }
            for tool in TOOLS
        ],
        "error_schema": {
            "type": "object",
            "properties": {"error": _inlined(Failure.model_json_schema(mode="serialization"))},
            "required": ["error"],
        },
    }


def packaged_definitions() -> dict[str, Any]:
    """Return the definitions as they are packaged, without loading what makes them.

    Raises:
        SkillError: the file is missing or does not parse.
    """
    from tao_skill.bank.documents import read_json
    from tao_skill.bank.location import bank_root

    return read_json(bank_root() / "schemas" / DEFINITIONS_FILE, "make schemas (in a checkout), or reinstall tao-skill")


def _openai(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": tool["name"], "description": tool["description"], "parameters": tool["input_schema"]}
    return {"type": "function", "function": function}


def _anthropic(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": tool["name"], "description": tool["description"], "input_schema": tool["input_schema"]}


def _mcp(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": tool["name"],
        "title": tool["title"],
        "description": tool["description"],
        "inputSchema": tool["input_schema"],
        "outputSchema": tool["output_schema"],
        "annotations": {
            "title": tool["title"],
            "readOnlyHint": tool["reads_only"],
            "destructiveHint": tool["destroys"],
            "idempotentHint": tool["repeatable"],
            "openWorldHint": tool["reaches_out"],
        },
    }


FORMATS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "mcp": _mcp,
}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without references and without titles that only repeat a name: not every reader follows them."""
    known = schema.get("$defs", {})

    def walk(node: Any, is_map: bool = False) -> Any:
        if isinstance(node, list):
            return [walk(one) for one in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            rest = {name: value for name, value in node.items() if name != "$ref"}
            return walk(known[node["$ref"].rpartition("/")[2]] | rest)
        kept = node if is_map else {name: value for name, value in node.items() if name not in ("title", "$defs")}
        return {name: walk(value, is_map=not is_map and name == "properties") for name, value in kept.items()}

    inlined: dict[str, Any] = walk(schema)
    return inlined
