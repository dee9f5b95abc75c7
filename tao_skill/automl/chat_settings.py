"""Which language model is asked, and how: the settings of a search over AUTOML_LLM_… of the environment."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tao_skill.config.automl import AutoML
from tao_skill.config.endpoint import EXPECTED_ENDPOINT, endpoint_problems
from tao_skill.config.secrets import HIDDEN, KEY_VARIABLE
from tao_skill.errors import Problem, SpecError

__all__ = ["ChatSettings", "chat_settings"]

_PREFIX = "AUTOML_LLM_"


@dataclass(frozen=True)
class ChatSettings:
    """Everything that a request needs; ``url`` is where chat completions are asked for."""

    url: str
    model: str
    temperature: float = 0.7
    max_tokens: int = 4096
    timeout: float = 60.0
    max_retries: int = 3
    retry_delay: float = 2.0
    # Out of `repr`: what shows an object in a log must not show the key.
    key: str = field(default="", repr=False)

    def without_key(self, text: str) -> str:
        """Return a text of the endpoint's that doesn't repeat the key."""
        return text.replace(self.key, HIDDEN) if self.key else text


# name, smallest, largest, whole number
_NUMBERS: tuple[tuple[str, float, float, bool], ...] = (
    ("temperature", 0.0, 2.0, False),
    ("max_tokens", 64, 131072, True),
    ("timeout", 0.1, 600.0, False),
    ("max_retries", 0, 10, True),
    ("retry_delay", 0.0, 60.0, False),
)


def chat_settings(settings: AutoML, environment: Mapping[str, str] | None = None) -> ChatSettings:
    """Return what the settings say, where they are null what the environment says, else the defaults.

    Raises:
        SpecError: no endpoint or no model, or values that can't be used: all of them.
    """
    given = os.environ if environment is None else environment
    problems: list[Problem] = []
    endpoint = (settings.llm_endpoint or given.get(f"{_PREFIX}ENDPOINT", "")).strip()
    model = (settings.llm_model or given.get(f"{_PREFIX}MODEL", "")).strip()
    problems += _endpoint_problems(endpoint)
    if not model:
        problems.append(Problem("llm_model", None, f"the name of a model that the endpoint serves, or {_PREFIX}MODEL"))
    numbers: dict[str, Any] = {}
    for name, low, high, whole in _NUMBERS:
        own, variable = getattr(settings, f"llm_{name}"), f"{_PREFIX}{name.upper()}"
        if own is not None:
            numbers[name] = own
        elif given.get(variable, "").strip():
            value = _number(given[variable], low, high, whole)
            if value is None:
                kind = "a whole number" if whole else "a number"
                problems.append(Problem(variable, given[variable], f"{kind} from {low:g} to {high:g}"))
            else:
                numbers[name] = value
    key = given.get(KEY_VARIABLE, "").strip()
    if key and not (key.isascii() and key.isprintable()):
        problems.append(Problem(KEY_VARIABLE, HIDDEN, "printable ASCII, as a header carries it"))
    if problems:
        raise SpecError(
            "No language model can be asked for values.",
            problems=problems,
            next_step=f"--automl llm_endpoint=http://HOST:PORT/v1 llm_model=NAME, the key in {KEY_VARIABLE}; "
            "or automl_algorithm=bayesian, which asks nobody",
        )
    return ChatSettings(_completions(endpoint), model, key=key, **numbers)


def _endpoint_problems(endpoint: str) -> list[Problem]:
    import httpx

    if not endpoint:
        return [Problem("llm_endpoint", None, EXPECTED_ENDPOINT)]
    problems = endpoint_problems(endpoint)
    try:
        httpx.URL(endpoint)
    except httpx.InvalidURL:
        problems = problems or [Problem("llm_endpoint", endpoint, EXPECTED_ENDPOINT)]
    return problems


def _completions(endpoint: str) -> str:
    base = endpoint.rstrip("/")
    return base if base.endswith("/chat/completions") else f"{base}/chat/completions"


def _number(text: str, low: float, high: float, whole: bool) -> float | int | None:
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and low <= value <= high else None
