"""From what a user wrote to a spec that is safe to run."""

from collections.abc import Mapping
from typing import Any

from tao_skill.config.check import check_spec, own_leaves
from tao_skill.config.derive import derived_values
from tao_skill.config.keys import merge, nest
from tao_skill.config.typed import typed_spec
from tao_skill.config.wording import counted
from tao_skill.errors import SpecError

__all__ = ["build_spec"]


def build_spec(action: str, given: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """Return the checked spec, an instance of the action's dataclass, and the warnings.

    ``given`` is nested and holds what is set; the rest takes its default or follows from it.

    Raises:
        SpecError: with all problems.
    """
    derived = nest({key: value for key, (value, _) in derived_values(action, given).items()})
    complete = merge(given, derived)
    problems, warnings = check_spec(action, complete)
    if problems:
        raise SpecError(
            f"The {action} spec has {counted(len(problems), 'problem')}.",
            problems=problems,
            next_step=f"python -m tao_skill schema {action}",
        )
    return typed_spec(action, nest(own_leaves(action, complete))), warnings
