"""Read what a user wants to be different: dotted keys, JSON objects, files and short names."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tao_skill.config.folders import at_home
from tao_skill.config.placeholder import is_placeholder
from tao_skill.config.secrets import masked_text
from tao_skill.errors import Problem, SpecError
from tao_skill.run.override_text import (
    DATA_ROOT_NAME,
    POLICY_KEY,
    UnreadableError,
    flat_overrides,
    from_file,
    pairs_of,
    refuse_depth,
)
from tao_skill.storage.locate import without_slash

__all__ = ["POLICY_KEY", "Overrides", "flat_overrides", "read_document", "read_overrides", "read_search_settings"]

_RANGES = "custom_param_ranges"
# So begins what is meant for the search among overrides; other settings of it may be keys of a skill as well.
_SETTINGS = ("automl_", _RANGES)
_KEY = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*")


@dataclass(frozen=True)
class Overrides:
    """What was given: leaves by dotted key, each with `override` or `shorthand` as its source.

    ``named_root`` says that a value has the data root in it.
    """

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    automl_policy: str | None = None
    automl: dict[str, Any] = field(default_factory=dict)
    named_root: bool = False


def read_overrides(
    texts: Sequence[str | Mapping[str, Any]],
    shorthands: Mapping[str, str] | None = None,
    data_root: str | None = None,
    *,
    text_keys: Collection[str] = (),
) -> Overrides:
    """Read override texts in order; of two for the same key the last wins.

    ``{S3_TRAIN}`` at the start of a value stands for the data root, as in the skill's text. Placeholders (``???``,
    ``<…>``, ``{S3_TRAIN}`` without a data root) count as not given; ``KEY=`` sets an empty text. What stands behind
    ``KEY=`` for one of ``text_keys`` stays as it was written: ``0123`` is a name there, and no number.

    Raises:
        SpecError: texts that can't be read, all of them.
    """
    short = dict(shorthands or {})

    def is_text(key: str) -> bool:
        return short.get(key, key) in text_keys

    pairs: list[tuple[str, Any]] = []
    problems: list[Problem] = []
    for text in texts:
        try:
            pairs += _pairs(text, is_text)
        except UnreadableError as wrong:
            problems.append(Problem("--overrides", _shown(text), str(wrong)))
    problems += [
        Problem("--overrides", masked_text(key), "a dotted key, such as train.num_epochs") for key in _bad_keys(pairs)
    ]
    if problems:
        raise SpecError(
            "Some overrides can't be read.", problems=problems, next_step="python -m tao_skill template train"
        )
    return _collect(pairs, short, data_root)


def read_search_settings(texts: Sequence[str | Mapping[str, Any]]) -> dict[str, Any]:
    """Read settings of a search, given in the forms of overrides; of two for the same the last wins.

    Raises:
        SpecError: texts that can't be read.
    """
    search: dict[str, Any] = {}
    problems: list[Problem] = []
    for text in texts:
        try:
            for key, value in _pairs(text):
                _put_setting(search, key, value)
        except UnreadableError as wrong:
            problems.append(Problem("--automl", _shown(text), str(wrong)))
    if problems:
        raise SpecError("Some settings of the search can't be read.", problems=problems)
    return search


def read_document(file: str | Path) -> Mapping[str, Any]:
    """Return what a YAML or JSON file holds.

    Raises:
        SpecError: it can't be read or holds no mapping.
    """
    try:
        return from_file(at_home(file))
    except UnreadableError as wrong:
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
    named_root = any(_with_root(raw, data_root) != raw for _, raw in pairs)
    return Overrides(values, {key: sources[key] for key in values}, policy, search, named_root)


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
    if not isinstance(value, str) or not value.startswith(DATA_ROOT_NAME):
        return value
    if not data_root:
        return "???"
    return without_slash(data_root) + value.removeprefix(DATA_ROOT_NAME)


def _shown(text: str | Mapping[str, Any]) -> str:
    return masked_text(text) if isinstance(text, str) else f"a mapping of {len(text)} keys"


def _pairs(
    text: str | Mapping[str, Any], is_text: Callable[[str], bool] = lambda _key: False
) -> Iterable[tuple[str, Any]]:
    if isinstance(text, str):
        return pairs_of(text.strip(), is_text)
    refuse_depth(text)
    return flat_overrides(text).items()


def _bad_keys(pairs: list[tuple[str, Any]]) -> list[str]:
    return [key for key, _ in pairs if not _KEY.fullmatch(key)]
