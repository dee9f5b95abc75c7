"""Checks a spec, and tells all that is wrong with it at once."""

import difflib
from collections.abc import Mapping
from typing import Any

from tao_skill.config.actions import spec_class
from tao_skill.config.foreign import foreign_problems, is_own
from tao_skill.config.keys import flatten, merge, nest
from tao_skill.config.leaves import known_keys, leaves
from tao_skill.config.no_effect import no_effect_warnings
from tao_skill.config.placeholder import is_given, is_placeholder
from tao_skill.config.relations import relation_problems
from tao_skill.config.rules import cross_field_problems
from tao_skill.config.schema import json_schema, template
from tao_skill.config.schema_check import schema_problems
from tao_skill.config.typed import typed_spec
from tao_skill.errors import Problem

__all__ = ["check_spec", "is_given", "is_placeholder", "own_leaves"]


def check_spec(
    action: str, spec: Mapping[str, Any], schema: Mapping[str, Any] | None = None
) -> tuple[list[Problem], list[str]]:
    """Return every problem of a nested spec, and warnings about keys that do nothing.

    A spec may leave out what it does not set; defaults are filled in before the rules that bind several keys. The
    schema is the skill's packaged one, or the dataclasses' own. Keys that another action reads are warned of, and
    left aside; unknown keys are problems that name the nearest known key.
    """
    if schema is not None and not is_own(action, schema):
        return foreign_problems(spec, schema), []
    spec_class(action)
    read, problems, warnings = _split_keys(action, spec)
    problems += schema_problems(nest(read), schema or json_schema(action))
    # The rules that bind several keys see a default wherever a value is no good, so that they can speak as well.
    wrong = {problem.key for problem in problems}
    sound = {key: value for key, value in read.items() if key not in wrong}
    complete = merge(template(action), nest(sound))
    typed = typed_spec(action, complete)
    bound = [*relation_problems(leaves(action), flatten(complete)), *cross_field_problems(action, typed)]
    problems += [problem for problem in bound if problem.key not in wrong]
    warnings += no_effect_warnings(action, typed, _changed(action, read))
    return problems, warnings


def own_leaves(action: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the leaves of a nested spec that the action reads, by dotted key."""
    own = {leaf.key for leaf in leaves(action)}
    return {key: value for key, value in flatten(spec).items() if key in own}


def _split_keys(action: str, spec: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem], list[str]]:
    """Sort the leaves of a spec into those the action reads, unknown ones (problems) and other actions' (warnings)."""
    read = own_leaves(action, spec)
    problems: list[Problem] = []
    warnings: list[str] = []
    others = {key: value for key, value in flatten(spec).items() if key not in read}
    if not others:  # to know the keys of all actions takes longer than to make a plan
        return read, problems, warnings
    sections = {key.rsplit(".", depth)[0] for key in known_keys() for depth in range(1, key.count(".") + 1)}
    for key, value in others.items():
        readers = known_keys().get(key)
        if readers:
            warnings.append(f"{key} is not read by {action}, only by {', '.join(readers)}.")
        elif key in sections and value in ({}, None):
            continue  # an empty section sets nothing
        elif key in sections:
            problems.append(Problem(key, value, "a section with settings of its own, not a value"))
        else:
            problems.append(Problem(key, value, _nearest(key)))
    return read, problems, warnings


def _nearest(key: str) -> str:
    last = key.rpartition(".")[2]
    names = {known: known.rpartition(".")[2] for known in known_keys()}
    # A name that is a word of another, such as lr of base_lr, is nearer to it than letters tell.
    alike = (
        [known for known, name in names.items() if name == last]
        or [known for known, name in names.items() if name.endswith(f"_{last}")]
        or [known for known, name in names.items() if last in name.split("_")]
    )
    close = difflib.get_close_matches(key, alike or names, n=1, cutoff=0.6) or alike[:1]
    return f"no such key; the nearest is {close[0]}" if close else "no such key"


def _changed(action: str, read: Mapping[str, Any]) -> dict[str, Any]:
    """Return what differs from the template: only that can have been a user's wish."""
    defaults = flatten(template(action))
    return nest({key: value for key, value in read.items() if defaults.get(key) != value})
