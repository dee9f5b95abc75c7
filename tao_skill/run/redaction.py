"""Keep what is secret in a link out of plans and records."""

from __future__ import annotations

from typing import Any

from tao_skill.storage.locate import redact_text

__all__ = ["redacted"]


def redacted(value: Any) -> Any:
    """Return plain data with every link in its texts redacted: signed links carry their key in the query."""
    if isinstance(value, dict):
        return {key: redacted(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(child) for child in value]
    return redact_text(value) if isinstance(value, str) else value
