"""From nested plain data to an instance of an action's dataclass."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from tao_skill.config.actions import spec_adapter
from tao_skill.config.keys import flatten, nest
from tao_skill.config.leaves import leaves
from tao_skill.errors import Problem, SpecError

__all__ = ["sound_spec", "typed_spec"]


def typed_spec(action: str, nested: Mapping[str, Any]) -> Any:
    """Return the spec as an instance of the action's dataclass; what is left out takes its default.

    Raises:
        SpecError: values of the wrong type or out of bounds, or unknown keys, all of them.
    """
    try:
        return spec_adapter(action).validate_python(nested)
    except ValidationError as error:
        problems = [
            Problem(".".join(str(part) for part in detail["loc"]), detail.get("input"), detail["msg"])
            for detail in error.errors(include_url=False)
        ]
        raise SpecError(f"The {action} spec is not valid.", problems=problems) from error


def sound_spec(action: str, nested: Mapping[str, Any]) -> Any:
    """Return the typed spec with a default wherever a value is no good or a key unknown: to look at the rest of it."""
    own = {leaf.key for leaf in leaves(action)}
    flat = {key: value for key, value in flatten(nested).items() if key in own}
    try:
        return typed_spec(action, nest(flat))
    except SpecError as error:
        wrong = {key for key in flat for problem in error.problems if f"{problem.key}.".startswith(f"{key}.")}
        return typed_spec(action, nest({key: value for key, value in flat.items() if key not in wrong}))
