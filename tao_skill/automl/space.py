"""The search space: which parameters, in which ranges, and which are left out and why; from a schema alone."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tao_skill.automl.parameter import Parameter
from tao_skill.automl.ranges import UnusableError, parameter_for
from tao_skill.config.automl import AutoML
from tao_skill.config.leaves import Leaf, schema_leaves
from tao_skill.config.relations import relation_problems, without_effect
from tao_skill.errors import Problem, SpecError

__all__ = ["SearchSpace", "build_space"]


@dataclass(frozen=True)
class SearchSpace:
    """The parameters, those that were left out with the reason, and the leaves whose relations bind them."""

    parameters: tuple[Parameter, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    leaves: tuple[Leaf, ...] = ()

    def problems(self, flat: Mapping[str, Any]) -> list[Problem]:
        """Return what is wrong with a spec's values taken together; this costs nothing."""
        return relation_problems(self.leaves, flat)


def build_space(
    schema: Mapping[str, Any], flat: Mapping[str, Any], fixed: Mapping[str, str], settings: AutoML
) -> SearchSpace:
    """Return the space around the values of ``flat``, the complete spec by dotted key.

    ``fixed`` names what must stay as it is, each with the reason. A parameter that the settings name is searched
    even where it is fixed; what has no effect under the other values never is.

    Raises:
        SpecError: parameters or ranges that can't be searched, all of them.
    """
    leaves = schema_leaves(schema)
    known = {leaf.key: leaf for leaf in leaves}
    disabled = set(schema.get("automl_disabled_parameters") or ())
    asked = list(dict.fromkeys([*settings.automl_hyperparameters, *settings.custom_param_ranges]))
    # Own ranges add to the usual parameters; a list of names takes their place.
    usual = [] if settings.automl_hyperparameters else _usual(schema, leaves, disabled)
    names = list(dict.fromkeys([*usual, *asked]))
    problems: list[Problem] = [Problem(name, "searched", _nearest(name, known)) for name in names if name not in known]
    held_by_search = [name for name in names if name in known]
    left_out = _left_out(leaves, flat, fixed, held_by_search, asked)
    parameters = []
    for name in held_by_search:
        if name in left_out:
            continue
        if name in disabled or known[name].facts.get("automl_enabled") is False:
            problems.append(Problem(name, "searched", "a parameter that the schema lets AutoML search"))
            continue
        try:
            parameters.append(parameter_for(known[name], flat, settings.custom_param_ranges.get(name)))
        except UnusableError as wrong:
            problems += wrong.problems
    if problems:
        count = "a parameter" if len(problems) == 1 else f"{len(problems)} parameters"
        raise SpecError(
            f"The search can't start: {count} can't be searched like this.",
            problems=problems,
            next_step="correct automl_hyperparameters and custom_param_ranges, or leave them out",
        )
    return SearchSpace(tuple(parameters), left_out, leaves)


def _usual(schema: Mapping[str, Any], leaves: tuple[Leaf, ...], disabled: set[str]) -> list[str]:
    listed = schema.get("automl_default_parameters")
    if listed is None:
        listed = [leaf.key for leaf in leaves if leaf.facts.get("automl_enabled") in (True, "TRUE", "true")]
    return [key for key in listed if key not in disabled]


def _left_out(
    leaves: tuple[Leaf, ...], flat: Mapping[str, Any], fixed: Mapping[str, str], names: list[str], asked: list[str]
) -> dict[str, str]:
    """Return what is not searched although it could be: idle under every value of the others, or fixed."""
    # A condition on something that is searched itself may come true: such a parameter stays.
    open_conditions = {
        leaf.key for leaf in leaves if any(one["key"] in names for one in leaf.facts.get("x_effect_if", ()))
    }
    idle = {key: f"no effect: {why}" for key, why in without_effect(leaves, flat).items() if key not in open_conditions}
    kept = {key: why for key, why in fixed.items() if key not in asked}
    return {name: (idle | kept)[name] for name in names if name in idle or name in kept}


def _nearest(name: str, known: Mapping[str, Leaf]) -> str:
    last = name.rpartition(".")[2]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    near = near or [key for key in known if key.rpartition(".")[2] == last][:1]
    return f"no such parameter; the nearest is {near[0]}" if near else "no such parameter"
