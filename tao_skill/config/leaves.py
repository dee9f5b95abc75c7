"""The leaves of a spec, as a flat list: what tables, help texts, checks and searches are made from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tao_skill.config.action_names import ACTIONS
from tao_skill.config.schema import json_schema

__all__ = ["Leaf", "known_keys", "leaves", "schema_leaves"]


@dataclass(frozen=True)
class Leaf:
    """One parameter of one action."""

    key: str
    kind: str
    default: Any
    title: str
    description: str
    choices: tuple[Any, ...]
    minimum: float | None
    maximum: float | None
    above: float | None
    nullable: bool
    is_text: bool
    facts: dict[str, Any]

    @property
    def bounds(self) -> str:
        """Say in words which values are allowed; empty where all are."""
        if self.choices:
            return ", ".join(str(choice) for choice in self.choices)
        low = (
            f"> {self.above:g}" if self.above is not None else f"≥ {self.minimum:g}" if self.minimum is not None else ""
        )
        high = f"≤ {self.maximum:g}" if self.maximum is not None else ""
        return ", ".join(part for part in (low, high) if part)


_FACTS = (
    "automl_enabled",
    "math_cond",
    "depends_on",
    "popular",
    "option_weights",
    "x_search",
    "x_multiple_of",
    "x_budget",
    "x_trial_value",
    "x_monitor",
    "x_kept_on_resume",
)
_EFFECT = "x_effect_if"
# Names that other schemas have for the standard's types.
_KINDS = {
    "float": "number", "double": "number", "int": "integer", "ordered_int": "integer", "bool": "boolean",
    "categorical": "string", "ordered": "string", "list": "array", "list_2": "array", "list_3": "array",
}  # fmt: skip


def _leaf(key: str, node: Mapping[str, Any], conditions: Sequence[Mapping[str, Any]]) -> Leaf:
    branches = node.get("anyOf", [node])
    value = next((branch for branch in branches if branch.get("type") != "null"), node)
    facts = {name: node[name] for name in _FACTS if node.get(name) not in (None, "")}
    if isinstance(enabled := facts.get("automl_enabled"), str):  # other schemas write "TRUE" and "FALSE"
        facts["automl_enabled"] = {"true": True, "false": False}.get(enabled.strip().lower(), enabled)
    return Leaf(
        key=key,
        kind=_KINDS.get(str(value.get("type")), str(value.get("type"))),
        default=node.get("default"),
        title=node.get("title", ""),
        description=node.get("description", ""),
        choices=tuple(value.get("enum", ())),
        minimum=_finite(value.get("minimum")),
        maximum=_finite(value.get("maximum")),
        above=_finite(value.get("exclusiveMinimum")),
        nullable=len(branches) > 1,
        is_text={branch.get("type") for branch in branches} - {"null"} == {"string"},
        facts=facts | ({_EFFECT: [*conditions, *node.get(_EFFECT, ())]} if conditions or _EFFECT in node else {}),
    )


def _finite(bound: Any) -> float | None:
    """Return a bound; one that is infinite, as some schemas write it, is none."""
    return bound if isinstance(bound, int | float) and math.isfinite(bound) else None


def _walk(prefix: str, properties: Mapping[str, Any], conditions: Sequence[Mapping[str, Any]]) -> list[Leaf]:
    found: list[Leaf] = []
    for name, node in properties.items():
        if not isinstance(node, Mapping):  # some generators leave lists of names here
            continue
        key = f"{prefix}{name}"
        if "properties" in node:
            # What switches a section off switches off all that it holds.
            found += _walk(f"{key}.", node["properties"], [*conditions, *node.get(_EFFECT, ())])
        else:
            found.append(_leaf(key, node, conditions))
    return found


def schema_leaves(schema: Mapping[str, Any]) -> tuple[Leaf, ...]:
    """Return every leaf of a spec's schema, of this package or of another skill, in the schema's order."""
    return tuple(_walk("", schema.get("properties", {}), ()))


@cache
def leaves(action: str) -> tuple[Leaf, ...]:
    """Return every leaf of an action's spec, in the order of the template."""
    return schema_leaves(json_schema(action))


@cache
def known_keys() -> dict[str, tuple[str, ...]]:
    """Return every key that any action reads, with those actions."""
    readers: dict[str, tuple[str, ...]] = {}
    for action in ACTIONS:
        for leaf in leaves(action):
            readers[leaf.key] = (*readers.get(leaf.key, ()), action)
    return readers
