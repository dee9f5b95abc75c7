"""Keep what must stay secret out of everything that is written or shown."""

import difflib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from tao_skill.config.keys import flatten, nest
from tao_skill.config.placeholder import is_given

__all__ = [
    "HIDDEN",
    "KEY_VARIABLE",
    "is_secret",
    "masked",
    "masked_as_given",
    "masked_text",
    "masked_value",
    "mentions_secret",
    "without_model_key",
    "without_secrets",
]

HIDDEN = "***"
# The key of the language model that a search asks; it stands in the environment and nowhere else.
KEY_VARIABLE = "AUTOML_LLM_API_KEY"
_NAME = "encryptionkey"
# How like the name a part of a key must be; encryption_type is less so.
_ALIKE = 0.85
# What a text that can't be read may call it, up to its end.
_TO_ITS_END = re.compile(r"((?<![a-z])enc[a-z]{0,3}p[\w.-]*).*", re.IGNORECASE | re.DOTALL)


def is_secret(key: str) -> bool:
    """Tell whether a dotted key holds a secret: encryption_key, and what it may be misspelt as.

    An unknown key is told with its value, too.
    """
    return any(_is_like_it(part) for part in key.split("."))


@lru_cache(4096)
def _is_like_it(part: str) -> bool:
    letters = re.sub(r"[\W_\d]", "", part).lower()
    # Words that are much longer or shorter can't be; most keys are.
    if not _ALIKE / (2 - _ALIKE) <= len(letters) / len(_NAME) <= (2 - _ALIKE) / _ALIKE:
        return False
    return difflib.SequenceMatcher(None, letters, _NAME, autojunk=False).ratio() >= _ALIKE


def masked_value(key: str, value: Any) -> Any:
    """Return the value of a dotted key, or `***` in place of a secret that is given."""
    return HIDDEN if is_secret(key) and is_given(value) else value


def masked(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a nested spec with `***` in place of each secret."""
    return nest({key: masked_value(key, value) for key, value in flatten(spec).items()})


def masked_as_given(settings: Any) -> Any:
    """Return settings as somebody wrote them, texts, mappings or a list of them, with `***` in place of each secret."""
    if isinstance(settings, list | tuple):
        return [masked_as_given(one) for one in settings]
    if isinstance(settings, Mapping):
        return {
            key: HIDDEN if is_secret(str(key)) and is_given(value) else _below(value) for key, value in settings.items()
        }
    return masked_text(settings) if isinstance(settings, str) else settings


def _below(value: Any) -> Any:
    return masked_as_given(value) if isinstance(value, Mapping) else value


def without_secrets(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a nested spec without the keys that hold secrets: no action has a use for them."""
    return nest({key: value for key, value in flatten(spec).items() if not is_secret(key)})


def without_model_key(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for what trains, evaluates or exports: none of that asks the language model."""
    return {name: value for name, value in environment.items() if name != KEY_VARIABLE}


def masked_text(text: str) -> str:
    """Return a text that could not be read as settings, with `***` for all that follows the name of a secret."""
    return _TO_ITS_END.sub(rf"\1 {HIDDEN}", text)


def mentions_secret(text: str) -> bool:
    """Tell whether a text that could not be read as settings names a secret."""
    return _TO_ITS_END.search(text) is not None
