"""By which metric a training chooses its best checkpoint: in a search, by the one that its trials are compared by.

A skill's schema says which of its settings hold that metric and whether larger values are better (`x_monitor`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tao_skill.config.leaves import Leaf, schema_leaves
from tao_skill.config.placeholder import is_given

__all__ = ["monitor_values", "monitor_warning"]


def monitor_values(
    schema: Mapping[str, Any], explicit: Mapping[str, Any], metric: str, direction: str
) -> dict[str, Any]:
    """Return what trials have to set, by dotted key; nothing where the user set it otherwise."""
    wanted = _wanted(schema, metric, direction)
    if _contrary(wanted, explicit):
        return {}
    return {key: one for key, one in wanted.items() if not is_given(explicit.get(key))}


def monitor_warning(schema: Mapping[str, Any], explicit: Mapping[str, Any], metric: str, direction: str) -> str:
    """Say so where the user lets a training choose its checkpoint otherwise than trials are compared."""
    contrary = _contrary(_wanted(schema, metric, direction), explicit)
    if not contrary:
        return ""
    said = ", ".join(f"{key} = {value}" for key, value in contrary.items())
    return (
        f"Trials are compared by {metric} ({direction}), but each hands on the checkpoint that is best by {said}, as "
        "you set it. Leave that out, or give the search's metric and direction to match it."
    )


def _wanted(schema: Mapping[str, Any], metric: str, direction: str) -> dict[str, Any]:
    leaves = {leaf.facts["x_monitor"]: leaf for leaf in schema_leaves(schema) if "x_monitor" in leaf.facts}
    wanted = {"metric": metric, "mode": _word(leaves["mode"], direction) if "mode" in leaves else direction}
    return {leaves[role].key: value for role, value in wanted.items() if role in leaves}


def _contrary(wanted: Mapping[str, Any], explicit: Mapping[str, Any]) -> dict[str, Any]:
    return {key: explicit[key] for key, one in wanted.items() if is_given(explicit.get(key)) and explicit[key] != one}


def _word(leaf: Leaf, direction: str) -> Any:
    """Return the skill's own word for a direction: maximize may be called max."""
    return next((choice for choice in leaf.choices if direction.startswith(str(choice))), direction)
