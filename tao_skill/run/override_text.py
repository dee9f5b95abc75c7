"""Read one override as it was typed: KEY=VALUE, a JSON object, or @file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tao_skill.config.folders import at_home
from tao_skill.config.keys import flatten, is_deeper
from tao_skill.config.placeholder import is_placeholder
from tao_skill.config.secrets import is_secret, masked_value, mentions_secret
from tao_skill.config.yaml_text import load_yaml
from tao_skill.errors import SpecError

__all__ = ["DATA_ROOT_NAME", "POLICY_KEY", "UnreadableError", "flat_overrides", "from_file", "pairs_of", "refuse_depth"]

POLICY_KEY = "automl_policy"
DATA_ROOT_NAME = "{S3_TRAIN}"
_FORMS = 'KEY=VALUE, a JSON object such as {"train.num_epochs": 30}, or @file.yaml'
_DEEPEST = 24
# So begins a value that has a form of its own in YAML.
_FORMED = ('"', "'", "[", "{")
# The skill's own example has paths such as f"{S3_TRAIN}/train.tar.gz".
_F_STRING = re.compile(r'(?<=[\s:,\[{])f"(?=\{)')


class UnreadableError(Exception):
    """Carry what was expected of one text."""


def pairs_of(text: str, is_text: Callable[[str], bool]) -> Iterator[tuple[str, Any]]:
    """Return the leaves that one override sets, by dotted key; ``is_text`` says which keys hold texts.

    Raises:
        UnreadableError: it has none of the forms.
    """
    if text.startswith("@"):
        return iter(flat_overrides(from_file(at_home(text[1:]))).items())
    if text.startswith("{"):
        return iter(flat_overrides(_from_object(text)).items())
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise UnreadableError(f"{_FORMS}{'; to read a file, type @' + text if _is_file(text) else ''}")
    read = {key: _scalar(key, value, is_text(key))}
    refuse_depth(read)
    return iter(flat_overrides(read).items())


def flat_overrides(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the leaves of a mapping whose keys are dotted, nested, or both; a secret comes as `***`."""
    return {key: masked_value(key, value) for key, value in flatten(document).items() if value != {}}


def refuse_depth(document: Any) -> None:
    """Raise UnreadableError for what is too deep to be settings."""
    if is_deeper(document, _DEEPEST):
        raise UnreadableError(f"settings of at most {_DEEPEST} levels")


def from_file(path: Path) -> Mapping[str, Any]:
    """Return what a YAML or JSON file holds.

    Raises:
        UnreadableError: it can't be read or holds no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UnreadableError(f"a readable YAML or JSON file; {getattr(error, 'strerror', None) or error}") from error
    return _from_object(text)


def _scalar(key: str, text: str, is_text: bool) -> Any:
    """Return a value as YAML reads it; what a key that holds texts is given stays as it was written."""
    if text == "" or key == POLICY_KEY or is_placeholder(text) or text.startswith(DATA_ROOT_NAME):
        return text
    formed = text.startswith(_FORMED)
    if " #" in text and not formed:  # YAML would take it for a comment
        return text
    try:
        value = load_yaml(text, key)
    except SpecError as error:
        if is_text:
            return text
        # The message quotes the text.
        raise UnreadableError("a YAML value" if is_secret(key) else f"a YAML value: {error.message}") from None
    return value if formed or not is_text or value is None else text


def _from_object(text: str) -> Mapping[str, Any]:
    document = _parsed(text)
    if document is None:
        return {}
    if not isinstance(document, Mapping):
        raise UnreadableError(f"a JSON object or YAML mapping, not a {type(document).__name__}")
    refuse_depth(document)
    return {str(key): value for key, value in document.items()}


def _parsed(text: str) -> Any:
    # An agent may paste the skill's own example, with its f-strings and a comma at the end of the last line.
    plain = _F_STRING.sub('"', text)
    for form in (text, plain):
        try:
            return json.loads(form)
        except (ValueError, RecursionError):
            continue
    try:
        return load_yaml(plain, "the object")
    except SpecError as error:
        quoted = "" if mentions_secret(text) else f": {error.message}"
        raise UnreadableError(f"a JSON object or YAML mapping{quoted}") from None


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False
