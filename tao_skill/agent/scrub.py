"""The last look at an answer: no value of a secret environment variable, and nothing that JSON or UTF-8 lacks."""

from __future__ import annotations

import os
import re
from typing import Any

from tao_skill.config.finite import finite
from tao_skill.run.redaction import redacted

__all__ = ["scrubbed"]

_SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASSW|CREDENTIAL|COOKIE", re.IGNORECASE)
_SHORTEST = 6
_HIDDEN = "***"


def scrubbed(document: Any) -> Any:
    """Return plain data with secrets replaced by `***`, links without their queries, and texts that UTF-8 can hold."""
    secrets = sorted(
        {value for name, value in os.environ.items() if _SECRET_NAME.search(name) and len(value) >= _SHORTEST},
        key=len,
        reverse=True,
    )
    return _clean(redacted(finite(document)), secrets)


def _clean(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, dict):
        return {_clean(key, secrets): _clean(child, secrets) for key, child in value.items()}
    if isinstance(value, list):
        return [_clean(child, secrets) for child in value]
    if not isinstance(value, str):
        return value
    for secret in secrets:
        value = value.replace(secret, _HIDDEN)
    return value.encode("utf-8", errors="replace").decode("utf-8")
