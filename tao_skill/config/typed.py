"""From nested plain data to an instance of an action's dataclass."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tao_skill.config.actions import spec_class
from tao_skill.errors import Problem, SpecError

__all__ = ["typed_spec"]


@cache
def _adapter(action: str) -> TypeAdapter[Any]:
    return TypeAdapter(spec_class(action))


def typed_spec(action: str, nested: Mapping[str, Any]) -> Any:
    """Return the spec as an instance of the action's dataclass; what is left out takes its default.

    Raises:
        SpecError: values of the wrong type or out of bounds, or unknown keys, all of them.
    """
    try:
        return _adapter(action).validate_python(nested)
    except ValidationError as error:
        problems = [
            Problem(".".join(str(part) for part in detail["loc"]), detail.get("input"), detail["msg"])
            for detail in error.errors(include_url=False)
        ]
        raise SpecError(f"The {action} spec is not valid.", problems=problems) from error
