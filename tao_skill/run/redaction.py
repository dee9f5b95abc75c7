"""Keep what is secret in a link out of plans and records."""

from __future__ import annotations

from typing import Any

from tao_skill.storage.locate import HIDDEN, redact_text

__all__ = ["is_redacted", "redacted"]


def redacted(value: Any) -> Any:
    """Return plain data with every link in its texts redacted: signed links carry their key in the query."""
    if isinstance(value, dict):
        return {key: redacted(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(child) for child in value]
    return redact_text(value) if isinstance(value, str) else value


def is_redacted(uri: str) -> bool:
    """Say whether a link has lost its query, so that it can't be followed again."""
    return uri.startswith(("http://", "https://")) and uri.endswith(f"?{HIDDEN}")
