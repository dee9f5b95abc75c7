"""Numbers that JSON can hold."""

import math
from typing import Any

__all__ = ["finite"]


def finite(value: Any) -> Any:
    """Return plain data with null in place of NaN and infinity, which JSON doesn't have."""
    if isinstance(value, dict):
        return {str(key): finite(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [finite(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
