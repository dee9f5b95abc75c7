"""The leaves of each action's spec, as a flat list: what tables, help texts and checks are made from."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from tao_skill.config.actions import ACTIONS
from tao_skill.config.schema import json_schema

__all__ = ["Leaf", "known_keys", "leaves"]


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
    "parent_param",
    "popular",
    "option_weights",
    "x_search",
)


def _leaf(key: str, node: dict[str, Any]) -> Leaf:
    branches = node.get("anyOf", [node])
    value = next(branch for branch in branches if branch.get("type") != "null")
    return Leaf(
        key=key,
        kind=value["type"],
        default=node.get("default"),
        title=node.get("title", ""),
        description=node.get("description", ""),
        choices=tuple(value.get("enum", ())),
        minimum=value.get("minimum"),
        maximum=value.get("maximum"),
        above=value.get("exclusiveMinimum"),
        nullable=len(branches) > 1,
        facts={name: node[name] for name in _FACTS if name in node},
    )


def _walk(prefix: str, properties: dict[str, Any]) -> list[Leaf]:
    found: list[Leaf] = []
    for name, node in properties.items():
        key = f"{prefix}{name}"
        found += _walk(f"{key}.", node["properties"]) if "properties" in node else [_leaf(key, node)]
    return found


@cache
def leaves(action: str) -> tuple[Leaf, ...]:
    """Return every leaf of an action's spec, in the order of the template."""
    return tuple(_walk("", json_schema(action)["properties"]))


@cache
def known_keys() -> dict[str, tuple[str, ...]]:
    """Return every key that any action reads, with those actions."""
    readers: dict[str, tuple[str, ...]] = {}
    for action in ACTIONS:
        for leaf in leaves(action):
            readers[leaf.key] = (*readers.get(leaf.key, ()), action)
    return readers
