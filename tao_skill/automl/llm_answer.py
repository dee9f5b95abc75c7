"""Read what a language model answered: values of the space, or everything that is wrong with them.

Nothing of an answer is ever run, shown as markup or used as a name: what is taken from it are numbers in known ranges
and choices of known lists.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from tao_skill.automl.parameter import Parameter
from tao_skill.automl.space import SearchSpace

__all__ = ["InvalidAnswer", "read_values", "values_schema"]

_LONGEST = 65_536
_SHOWN = 80
_MOST = 10
_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL | re.IGNORECASE)


class InvalidAnswer(Exception):  # noqa: N818  # not ours: an answer that the model may mend
    """Carry what is wrong with an answer, each in a sentence."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def values_schema(space: SearchSpace) -> dict[str, Any]:
    """Return the JSON Schema that an answer has to obey."""
    properties = {one.key: _schema_of(one) for one in space.parameters}
    values = {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
    }  # fmt: skip
    return {
        "type": "object",
        "properties": {"reason": {"type": "string"}, "values": values},
        "required": ["values"],
        "additionalProperties": False,
    }


def read_values(text: str, space: SearchSpace, hide: Callable[[str], str] = str) -> dict[str, Any]:
    """Return the values in an answer, a JSON object alone or in a fenced block, in the order of the space.

    ``hide`` returns a text without what must not be told: what is told of a wrong answer repeats parts of it.

    Raises:
        InvalidAnswer: it holds no values that the space allows; with all that is wrong.
    """
    document = _object_in(text)
    errors = list(Draft202012Validator(values_schema(space)).iter_errors(document))
    if errors:
        raise InvalidAnswer(*(_told(error, hide) for error in errors[:_MOST]))
    return {one.key: _as_kind(one, document["values"][one.key]) for one in space.parameters}


def _schema_of(parameter: Parameter) -> dict[str, Any]:
    if parameter.kind == "choice":
        return {"enum": list(parameter.choices)}
    schema: dict[str, Any] = {"type": parameter.kind, "minimum": parameter.low, "maximum": parameter.high}
    return schema | ({"multipleOf": parameter.step} if parameter.step > 1 else {})


def _object_in(text: str) -> dict[str, Any]:
    if len(text) > _LONGEST:
        raise InvalidAnswer(f"the answer is longer than {_LONGEST:,} characters")
    found = _FENCED.findall(text)
    if len(found) > 1:
        raise InvalidAnswer("the answer holds several blocks; one JSON object is wanted")
    try:
        document = json.loads(found[0] if found else text, parse_constant=_refuse, object_pairs_hook=_no_twins)
    except InvalidAnswer:
        raise
    except (ValueError, RecursionError) as error:
        said = str(error).splitlines()[0][:_SHOWN] if isinstance(error, ValueError) else "nested too deeply"
        raise InvalidAnswer(f"the answer is not one JSON object: {said}") from None
    if not isinstance(document, dict):
        raise InvalidAnswer("the answer is not a JSON object")
    return document


def _refuse(name: str) -> Any:
    raise InvalidAnswer(f"{name} is no number of JSON")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise InvalidAnswer("the answer names a key twice")
    return document


def _told(error: ValidationError, hide: Callable[[str], str]) -> str:
    place = ".".join(str(part) for part in list(error.absolute_path)[1:]) or "the answer"
    instance: Any = error.instance
    limit: Any = error.validator_value
    if error.validator == "additionalProperties":
        allowed = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
        unknown = [key for key in instance if key not in allowed][:_MOST]
        return f"unknown keys: {', '.join(_short(key, hide) for key in unknown)}"
    if error.validator == "required":
        return f"missing keys: {', '.join(key for key in limit if key not in instance)}"
    expected = {"enum": "one of", "type": "of type", "minimum": "at least", "maximum": "at most"}
    wanted = expected.get(str(error.validator), str(error.validator))
    return f"{place} is {_short(instance, hide)}, expected {wanted} {limit}"


def _short(value: Any, hide: Callable[[str], str]) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    # Hidden before it is cut, which would leave a part, and before `repr` escapes what would control a terminal.
    shown = repr(hide(value)) if isinstance(value, str) else hide(repr(value))
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _as_kind(parameter: Parameter, value: Any) -> Any:
    if parameter.kind == "choice":
        # The space's own value: to JSON, 16.0 and 16 are the same.
        return next(
            one for one in parameter.choices if one == value and isinstance(one, bool) == isinstance(value, bool)
        )
    number = int(value) if parameter.kind == "integer" else float(value)
    assert math.isfinite(number)
    return number
