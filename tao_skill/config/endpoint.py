"""The address of a language model's server among the settings of a search: a plain URL, since it is written down."""

from urllib.parse import urlsplit

from tao_skill.config.secrets import HIDDEN
from tao_skill.errors import Problem

__all__ = ["EXPECTED_ENDPOINT", "endpoint_problems"]

EXPECTED_ENDPOINT = (
    "the base URL of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1, or AUTOML_LLM_ENDPOINT"
)
# What follows a user, or begins a query or a fragment: each may hold a key.
_MARKS = frozenset("@?#")


def endpoint_problems(endpoint: str) -> list[Problem]:
    """Return what is wrong with an address; what may be a key in it is not repeated."""
    if _MARKS & set(endpoint):
        return [Problem("llm_endpoint", HIDDEN, f"{EXPECTED_ENDPOINT}, without a key in it")]
    try:
        parts = urlsplit(endpoint)
        is_plain = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_plain = False
    return [] if is_plain else [Problem("llm_endpoint", endpoint, EXPECTED_ENDPOINT)]
