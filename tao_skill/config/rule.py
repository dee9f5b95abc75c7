"""What a rule is, and the one that many actions share."""

from collections.abc import Callable, Iterator
from typing import Any

from tao_skill.config.placeholder import is_given, is_placeholder
from tao_skill.errors import Problem

__all__ = ["Rule", "required", "value_of"]

# A rule reads a spec, which is an instance of the action's dataclass, and yields what breaks it.
Rule = Callable[[Any], Iterator[Problem]]


def value_of(spec: Any, key: str) -> Any:
    """Return what a spec, an instance of an action's dataclass, holds under a dotted key."""
    for part in key.split("."):
        spec = getattr(spec, part)
    return spec


def required(key: str, expected: str) -> Rule:
    """Return the rule that a key has a value; ``expected`` completes the sentence of the problem."""

    def rule(spec: Any) -> Iterator[Problem]:
        value = value_of(spec, key)
        if not is_given(value):
            instead = "a value in place of the placeholder: " if is_placeholder(value) else ""
            yield Problem(key, value, f"{instead}{expected}")

    return rule
