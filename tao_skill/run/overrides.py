"""Read what a user wants to be different: dotted keys, JSON objects, files and short names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tao_skill.config.keys import flatten
from tao_skill.config.placeholder import is_placeholder
from tao_skill.config.secrets import is_secret, masked_text, masked_value, mentions_secret
from tao_skill.config.yaml_text import load_yaml
from tao_skill.errors import Problem, SpecError
from tao_skill.storage.locate import without_slash

__all__ = ["POLICY_KEY", "Overrides", "flat_overrides", "read_document", "read_overrides", "read_search_settings"]

POLICY_KEY = "automl_policy"
_FORMS = 'KEY=VALUE, a JSON object such as {"train.num_epochs": 30}, or @file.yaml'
_DATA_ROOT_NAME = "{S3_TRAIN}"
_RANGES = "custom_param_ranges"
# So begins what is meant for the search among overrides; other settings of it may be keys of a skill as well.
_SETTINGS = ("automl_", _RANGES)
_KEY = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*")


@dataclass(frozen=True)
class Overrides:
    """What was given: leaves by dotted key, each with `override` or `shorthand` as its source."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    automl_policy: str | None = None
    automl: dict[str, Any] = field(default_factory=dict)


class _UnreadableError(Exception):
    """Carry what was expected of one text."""


def read_overrides(
    texts: Sequence[str | Mapping[str, Any]], shorthands: Mapping[str, str] | None = None, data_root: str | None = None
) -> Overrides:
    """Read override texts in order; of two for the same key the last wins.

    ``{S3_TRAIN}`` at the start of a value stands for the data root, as in the skill's text. Placeholders (``???``,
    ``<…>``, ``{S3_TRAIN}`` without a data root) count as not given; ``KEY=`` sets an empty text.

    Raises:
        SpecError: texts that can't be read, all of them.
    """
    pairs: list[tuple[str, Any]] = []
    problems: list[Problem] = []
    for text in texts:
        try:
            pairs += _pairs(text.strip()) if isinstance(text, str) else flat_overrides(text).items()
        except _UnreadableError as wrong:
            problems.append(Problem("--overrides", masked_text(str(text)), str(wrong)))
    problems += [
        Problem("--overrides", masked_text(key), "a dotted key, such as train.num_epochs") for key in _bad_keys(pairs)
    ]
    if problems:
        raise SpecError(
            "Some overrides can't be read.", problems=problems, next_step="python -m tao_skill template train"
        )
    return _collect(pairs, dict(shorthands or {}), data_root)


def read_search_settings(texts: Sequence[str | Mapping[str, Any]]) -> dict[str, Any]:
    """Read settings of a search, given in the forms of overrides; of two for the same the last wins.

    Raises:
        SpecError: texts that can't be read.
    """
    search: dict[str, Any] = {}
    problems: list[Problem] = []
    for text in texts:
        try:
            for key, value in _pairs(text.strip()) if isinstance(text, str) else flat_overrides(text).items():
                _put_setting(search, key, value)
        except _UnreadableError as wrong:
            problems.append(Problem("--automl", masked_text(str(text)), str(wrong)))
    if problems:
        raise SpecError("Some settings of the search can't be read.", problems=problems)
    return search


def flat_overrides(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the leaves of a mapping whose keys are dotted, nested, or both; a secret comes as `***`."""
    return {key: masked_value(key, value) for key, value in flatten(document).items() if value != {}}


def read_document(file: str | Path) -> Mapping[str, Any]:
    """Return what a YAML or JSON file holds.

    Raises:
        SpecError: it can't be read or holds no mapping.
    """
    try:
        return _from_file(Path(file).expanduser())
    except _UnreadableError as wrong:
        raise SpecError(f"{file} can't be read.", problems=[Problem(str(file), "", str(wrong))]) from wrong


def _collect(pairs: list[tuple[str, Any]], shorthands: dict[str, str], data_root: str | None) -> Overrides:
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    policy: str | None = None
    search: dict[str, Any] = {}
    for key, raw in pairs:
        value = _with_root(raw, data_root)
        if is_placeholder(value) or value == {}:
            continue
        if key == POLICY_KEY:
            policy = _policy_word(value)
            continue
        if key not in shorthands and key.startswith(_SETTINGS):
            _put_setting(search, key, value)
            continue
        full = shorthands.get(key, key)
        for older in [one for one in values if one.startswith(f"{full}.")]:
            del values[older]
        values[full] = value
        sources[full] = "shorthand" if key in shorthands else "override"
    return Overrides(values, {key: sources[key] for key in values}, policy, search)


def _put_setting(search: dict[str, Any], key: str, value: Any) -> None:
    """Note a setting of the search; below custom_param_ranges stand spec keys, dots and all, and a range's parts.

    What else has dots, or is no range, is noted as it is: no setting is called so, and whoever reads them says it.
    """
    from tao_skill.config.automl import RANGE_PARTS  # a moment to import, and seldom needed

    name = key.removeprefix("automl_settings.")
    if not name.startswith(f"{_RANGES}."):
        search[name] = value
        return
    place = search[_RANGES] = _section(search, _RANGES)
    parameter, _, part = name.removeprefix(f"{_RANGES}.").rpartition(".")
    if part in RANGE_PARTS and parameter:
        place[parameter] = _section(place, parameter) | {part: value}
    else:
        place[name.removeprefix(f"{_RANGES}.")] = value


def _section(above: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what stands below a name so far: nothing, where that is a mere value."""
    found = above.get(name)
    return dict(found) if isinstance(found, Mapping) else {}


def _policy_word(value: Any) -> str:
    # YAML reads the words on and off as true and false.
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _with_root(value: Any, data_root: str | None) -> Any:
    if isinstance(value, list):
        return [_with_root(entry, data_root) for entry in value]
    if not isinstance(value, str) or not value.startswith(_DATA_ROOT_NAME):
        return value
    if not data_root:
        return "???"
    return without_slash(data_root) + value.removeprefix(_DATA_ROOT_NAME)


def _pairs(text: str) -> Iterator[tuple[str, Any]]:
    if text.startswith("@"):
        return iter(flat_overrides(_from_file(Path(text[1:]).expanduser())).items())
    if text.startswith("{"):
        return iter(flat_overrides(_from_object(text)).items())
    key, equals, value = text.partition("=")
    if not equals:
        raise _UnreadableError(f"{_FORMS}{'; to read a file, type @' + text if Path(text).is_file() else ''}")
    return iter(flat_overrides({key.strip(): _scalar(key.strip(), value.strip())}).items())


def _scalar(key: str, text: str) -> Any:
    if text == "":
        return ""
    if key == POLICY_KEY or is_placeholder(text) or text.startswith(_DATA_ROOT_NAME):
        return text
    try:
        return load_yaml(text, key)
    except SpecError as error:
        # The message quotes the text.
        raise _UnreadableError("a YAML value" if is_secret(key) else f"a YAML value: {error.message}") from None


def _from_file(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _UnreadableError(f"a readable YAML or JSON file; {getattr(error, 'strerror', None) or error}") from error
    return _from_object(text)


def _from_object(text: str) -> Mapping[str, Any]:
    # An agent may paste the skill's own example, where paths are f"{S3_TRAIN}/…" and a comma ends the last line.
    plain = re.sub(r'(?<=[\s:,\[{])f"', '"', text)
    try:
        document = json.loads(plain)
    except ValueError:
        try:
            document = load_yaml(plain, "the object")
        except SpecError as error:
            quoted = "" if mentions_secret(text) else f": {error.message}"
            raise _UnreadableError(f"a JSON object or YAML mapping{quoted}") from None
    if document is None:
        return {}
    if not isinstance(document, Mapping):
        raise _UnreadableError(f"a JSON object or YAML mapping, not a {type(document).__name__}")
    return {str(key): value for key, value in document.items()}


def _bad_keys(pairs: list[tuple[str, Any]]) -> list[str]:
    return [key for key, _ in pairs if not _KEY.fullmatch(key)]
