"""Dotted keys and nested dictionaries, from one to the other."""

from collections.abc import Iterator, Mapping
from typing import Any

from tao_skill.errors import Problem, SpecError

__all__ = ["MISSING", "flatten", "get_leaf", "is_deeper", "merge", "nest", "set_leaf"]

MISSING = object()


def get_leaf(nested: Mapping[str, Any], key: str, default: Any = None) -> Any:
    """Return what a dotted key holds, or the default where the path ends early."""
    node: Any = nested
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return default
        node = node[part]
    return node


def set_leaf(nested: dict[str, Any], key: str, value: Any) -> None:
    """Put a value under a dotted key, making the sections on the way.

    Raises:
        SpecError: a part of the path is a value, not a section.
    """
    node = nested
    *path, last = key.split(".")
    for depth, part in enumerate(path):
        child = node.setdefault(part, {})
        if not isinstance(child, dict):
            taken = ".".join(path[: depth + 1])
            raise SpecError(
                f"{key} can't be set: {taken} is a value, not a section.",
                problems=[Problem(taken, child, f"a section that holds {key}")],
            )
        node = child
    node[last] = value


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted keys into sections; a value that is a dictionary may itself hold dotted keys."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        for leaf, leaf_value in _leaves(key, value):
            set_leaf(nested, leaf, leaf_value)
    return nested


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, child in value.items():
            yield from _leaves(f"{key}.{name}", child)
    else:
        yield key, value


def flatten(nested: Mapping[str, Any]) -> dict[str, Any]:
    """Return every leaf under its dotted key; an empty section counts as a leaf."""
    return {key: value for name, child in nested.items() for key, value in _leaves(str(name), child)}


def is_deeper(value: Any, most: int) -> bool:
    """Say whether plain data has more than so many levels; those below are not looked at."""
    level, deep = [value], 0
    while level and deep <= most:
        deep += 1
        level = [
            child
            for one in level
            if isinstance(one, Mapping | list)
            for child in (one.values() if isinstance(one, Mapping) else one)
        ]
    return deep > most


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return base with the leaves of over on top; neither is changed, and lists are replaced whole."""
    merged = dict(base)
    for name, value in over.items():
        below = merged.get(name)
        both_sections = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[name] = merge(below, value) if both_sections else value  # type: ignore[arg-type]
    return merged
