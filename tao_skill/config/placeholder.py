"""Texts that stand where a value belongs."""

import re
from typing import Any

__all__ = ["is_given", "is_placeholder"]

_PLACEHOLDER = re.compile(r"\s*(\?\?\?|<[^<>]*>)\s*")


def is_placeholder(value: Any) -> bool:
    """Tell whether a value is `???` or `<something>`: a mark that a user has yet to fill in."""
    return isinstance(value, str) and _PLACEHOLDER.fullmatch(value) is not None


def is_given(value: Any) -> bool:
    """Tell whether a value says anything: not null, not empty, no placeholder."""
    return value is not None and value not in ("", [], {}) and not is_placeholder(value)
