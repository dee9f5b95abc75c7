"""Keep what must stay secret out of everything that is written or shown."""

import re
from collections.abc import Mapping
from typing import Any

from tao_skill.config.keys import flatten, nest
from tao_skill.config.placeholder import is_given

__all__ = [
    "HIDDEN",
    "KEY_VARIABLE",
    "is_secret",
    "masked",
    "masked_text",
    "masked_value",
    "without_model_key",
    "without_secrets",
]

HIDDEN = "***"
# The key of the language model that a search asks; it stands in the environment and nowhere else.
KEY_VARIABLE = "AUTOML_LLM_API_KEY"
# encryption_key, and what it may be misspelt as: an unknown key is told with its value too.
_SECRET = re.compile(r"enc[a-z]*p", re.IGNORECASE)
_TO_ITS_END = re.compile(rf"({_SECRET.pattern}[\w.-]*).*", re.IGNORECASE | re.DOTALL)


def is_secret(key: str) -> bool:
    """Tell whether a dotted key, however it is spelt, holds a secret."""
    return _SECRET.search(key) is not None


def masked_value(key: str, value: Any) -> Any:
    """Return the value of a dotted key, or `***` in place of a secret that is given."""
    return HIDDEN if is_secret(key) and is_given(value) else value


def masked(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a nested spec with `***` in place of each secret."""
    return nest({key: masked_value(key, value) for key, value in flatten(spec).items()})


def without_secrets(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a nested spec without the keys that hold secrets: no action has a use for them."""
    return nest({key: value for key, value in flatten(spec).items() if not is_secret(key)})


def without_model_key(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for what trains, evaluates or exports: none of that asks the language model."""
    return {name: value for name, value in environment.items() if name != KEY_VARIABLE}


def masked_text(text: str) -> str:
    """Return a text that could not be read as settings, with `***` for all that follows the name of a secret."""
    return _TO_ITS_END.sub(rf"\1 {HIDDEN}", text)
