"""The search space: which parameters, in which ranges, and which are left out and why; from a schema alone."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tao_skill.automl.own_range import UnusableError
from tao_skill.automl.parameter import Parameter
from tao_skill.automl.ranges import parameter_for
from tao_skill.automl.starting_points import starting_points
from tao_skill.config.automl import RANGE_PARTS, AutoML
from tao_skill.config.leaves import Leaf, schema_leaves
from tao_skill.config.relations import relation_problems, without_effect
from tao_skill.errors import Problem, SpecError

__all__ = ["SearchSpace", "build_space"]

_BUDGET = "it is the budget of the search"


@dataclass(frozen=True)
class SearchSpace:
    """The parameters, those that were left out with the reason, and the leaves whose relations bind them.

    ``points`` are values of some parameters that are worth trying first.
    """

    parameters: tuple[Parameter, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    leaves: tuple[Leaf, ...] = ()
    points: tuple[dict[str, Any], ...] = ()

    def going_on_from(self, values: Mapping[str, Any]) -> tuple[Parameter, ...]:
        """Return the parameters of a trial that goes on from the checkpoint of one with these values."""
        return tuple(
            one.pinned(values[one.key]) if one.kept_on_resume and one.key in values else one for one in self.parameters
        )

    def problems(self, flat: Mapping[str, Any]) -> list[Problem]:
        """Return what is wrong with a spec's values taken together; this costs nothing."""
        return relation_problems(self.leaves, flat)


def build_space(
    schema: Mapping[str, Any],
    flat: Mapping[str, Any],
    fixed: Mapping[str, str],
    settings: AutoML,
    *,
    budget: str = "",
) -> SearchSpace:
    """Return the space around the values of ``flat``, the complete spec by dotted key.

    ``fixed`` names what must stay as it is, each with the reason. A parameter that the settings name is searched
    even where it is fixed; what has no effect under the other values never is, nor ``budget``, the parameter that says
    how long a training lasts. A usual parameter that can't be searched is left out; one that the settings name must be
    such that can.

    Raises:
        SpecError: named parameters or ranges that can't be searched, all of them.
    """
    leaves = schema_leaves(schema)
    known = {leaf.key: leaf for leaf in leaves}
    asked = list(dict.fromkeys([*settings.automl_hyperparameters, *settings.custom_param_ranges]))
    # Own ranges add to the usual parameters; a list of names takes their place.
    usual = [] if settings.automl_hyperparameters else _usual(schema, leaves)
    names = list(dict.fromkeys([*usual, *asked]))
    left_out = {key: why for key, why in fixed.items() if key in usual and key not in asked}
    parameters: dict[str, Parameter] = {}
    problems: dict[str, tuple[Problem, ...]] = {}
    for name in names:
        if name in left_out:
            continue
        try:
            _check_name(name, known, schema, budget)
            found = parameter_for(known[name], flat, settings.custom_param_ranges.get(name))
            parameters[name] = replace(found, kept_on_resume=bool(known[name].facts.get("x_kept_on_resume")))
        except UnusableError as wrong:
            if name in asked:
                problems[name] = wrong.problems
            else:
                left_out[name] = _BUDGET if name == budget else _unusable(wrong.problems)
    idle = {name: f"no effect: {why}" for name, why in _idle(leaves, flat, names, parameters).items()}
    left_out = idle | left_out
    searched = {name: one for name, one in parameters.items() if name not in left_out}
    try:
        points = starting_points(schema, searched, settings.automl_starting_points, unknown=problems)
    except UnusableError as wrong:
        problems["automl_starting_points"] = wrong.problems
    if problems:
        raise _refusal([problem for of_one in problems.values() for problem in of_one])
    named = {name: left_out[name] for name in names if name in left_out}
    return SearchSpace(tuple(searched.values()), named, leaves, points)


def _usual(schema: Mapping[str, Any], leaves: Sequence[Leaf]) -> list[str]:
    listed = schema.get("automl_default_parameters")
    if listed is None:
        listed = [leaf.key for leaf in leaves if leaf.facts.get("automl_enabled") is True]
    disabled = set(schema.get("automl_disabled_parameters") or ())
    return [key for key in listed if key not in disabled]


def _check_name(name: str, known: Mapping[str, Leaf], schema: Mapping[str, Any], budget: str) -> None:
    """Raise UnusableError where a name can't be searched, whatever its range."""
    if name not in known:
        raise UnusableError(Problem(name, "searched", _nearest(name, known)))
    if name == budget:
        expected = "automl_max_epochs, the epochs of a full training: how long a trial lasts is the search's to decide"
        raise UnusableError(Problem(name, "searched", expected))
    disabled = schema.get("automl_disabled_parameters") or ()
    if name in disabled or known[name].facts.get("automl_enabled") is False:
        raise UnusableError(Problem(name, "searched", "a parameter that the schema lets AutoML search"))


def _idle(
    leaves: Sequence[Leaf], flat: Mapping[str, Any], names: Collection[str], parameters: Mapping[str, Parameter]
) -> dict[str, str]:
    """Return what does nothing under every value that the others may take, each with the reason."""
    searched = {key: one.choices for key, one in parameters.items()}
    while True:
        idle = {key: why for key, why in without_effect(leaves, flat, searched).items() if key in names}
        if not idle.keys() & searched:
            return idle
        # What is not searched after all can't wake others up.
        searched = {key: choices for key, choices in searched.items() if key not in idle}


def _unusable(problems: Sequence[Problem]) -> str:
    return f"it can't be searched; expected: {'; '.join(one.expected for one in problems)}"


def _refusal(problems: Sequence[Problem]) -> SpecError:
    count = "a parameter" if len(problems) == 1 else f"{len(problems)} parameters"
    return SpecError(
        f"The search can't start: {count} can't be searched like this.",
        problems=problems,
        next_step="correct automl_hyperparameters, custom_param_ranges and automl_starting_points, or leave them out",
    )


def _nearest(name: str, known: Mapping[str, Leaf]) -> str:
    above, _, last = name.rpartition(".")
    if above in known:
        return f"no part of a range; {above} may have {', '.join(RANGE_PARTS)}"
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    near = near or [key for key in known if key.rpartition(".")[2] == last][:1]
    return f"no such parameter; the nearest is {near[0]}" if near else "no such parameter"
