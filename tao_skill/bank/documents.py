"""Read a skill's own files, so that every failure names the file and says how to repair it."""

import json
import math
from pathlib import Path
from typing import Any, NoReturn

import yaml

from tao_skill.errors import Problem, SkillError

# The same loader in C, where PyYAML has it, reads ten times as fast.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_text(path: Path, next_step: str) -> str:
    """Return the text of ``path``; raise SkillError when it is missing or no UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise _failure(path, "missing", "a file of the skill", next_step) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _failure(path, str(error), "a readable UTF-8 text", next_step) from error


def read_json(path: Path, next_step: str, *, endless: bool = False) -> dict[str, Any]:
    """Return the JSON object in ``path``; NaN and Infinity are refused, as RFC 8259 does.

    With ``endless``, a key that holds one of them is left out instead: other generators write so what has no bound.
    """
    text = read_text(path, next_step)
    try:
        if endless:
            document = json.loads(text, object_pairs_hook=_without_endless)
        else:
            document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _failure(path, str(error), "valid JSON (RFC 8259)", next_step) from error
    return _mapping(path, document, next_step)


def read_yaml(path: Path, next_step: str) -> dict[str, Any]:
    """Return the YAML mapping in ``path``."""
    text = read_text(path, next_step)
    try:
        document = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _failure(path, str(error), "valid YAML", next_step) from error
    return _mapping(path, document, next_step)


def front_matter(path: Path, next_step: str) -> dict[str, Any]:
    """Return the YAML mapping between the two ``---`` lines at the top of a SKILL.md."""
    lines = read_text(path, next_step).splitlines()
    rest = lines[1:] if lines and lines[0].strip() == "---" else []
    end = next((number for number, line in enumerate(rest) if line.strip() == "---"), None)
    if end is None:
        raise _failure(path, "no front matter", "YAML between two lines of --- at the top", next_step)
    try:
        document = yaml.load("\n".join(rest[:end]), Loader=_Loader)
    except yaml.YAMLError as error:
        raise _failure(path, str(error), "valid YAML as front matter", next_step) from error
    return _mapping(path, document, next_step)


def _mapping(path: Path, document: Any, next_step: str) -> dict[str, Any]:
    if isinstance(document, dict):
        return document
    raise _failure(path, f"a {type(document).__name__}", "a mapping at the top", next_step)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _without_endless(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in pairs if not (isinstance(value, float) and not math.isfinite(value))}


def _failure(path: Path, found: str, expected: str, next_step: str) -> SkillError:
    return SkillError(
        f"{path} can't be used: {found}.",
        problems=[Problem(str(path), found, expected)],
        next_step=next_step,
    )
