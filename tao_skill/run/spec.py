"""Put the spec together from its layers, and remember where each value came from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tao_skill.config.check import check_spec, own_leaves
from tao_skill.config.derive import derived_values
from tao_skill.config.foreign import is_own
from tao_skill.config.keys import flatten, nest
from tao_skill.config.wording import counted
from tao_skill.errors import Problem, SpecError
from tao_skill.run.look_at_data import DataReport, refusal

__all__ = ["AT_LAUNCH", "CHECKPOINT", "DATA_SOURCE", "DERIVED", "TEMPLATE", "Assembled", "Layer", "assemble"]

TEMPLATE = "template"
DATA_SOURCE = "data source"
CHECKPOINT = "checkpoint"
AT_LAUNCH = "checkpoint (read at launch)"
DERIVED = "derived"


@dataclass(frozen=True)
class Layer:
    """Values by dotted key and where they came from: one word for all, or one for each key."""

    values: Mapping[str, Any]
    source: str | Mapping[str, str]

    def source_of(self, key: str) -> str:
        return self.source if isinstance(self.source, str) else self.source[key]


@dataclass(frozen=True)
class Assembled:
    """The nested spec, where each leaf came from, and warnings."""

    spec: dict[str, Any]
    provenance: dict[str, str]
    warnings: list[str]


def assemble(
    action: str,
    template: Mapping[str, Any],
    layers: Sequence[Layer],
    *,
    schema: Mapping[str, Any],
    left_out: Collection[str] = (),
    known_problems: Sequence[Problem] = (),
    look: Callable[[dict[str, Any]], list[Problem]] | None = None,
    look_at_data: Callable[[dict[str, Any], Collection[str]], DataReport] | None = None,
) -> Assembled:
    """Lay the layers over the template, later ones on top, and check the result.

    ``left_out`` are template keys whose value a checkpoint decides at launch; they don't appear in the spec.
    ``known_problems`` were found on the way; a further problem with the same key isn't told twice. ``look`` returns
    what is wrong with the complete nested spec beside its form. ``look_at_data`` is asked for a spec of this package's
    own actions alone.

    Raises:
        SpecError: everything that is wrong, at once.
    """
    base = {key: value for key, value in flatten(template).items() if key not in left_out}
    problems = list(known_problems)
    layered, conflicts = _without_conflicts(layers, base)
    problems += conflicts
    given = nest({key: value for layer in layered for key, value in layer.values.items()})
    own = is_own(action, schema)
    derived = {key: value for key, (value, _) in derived_values(action, given).items()} if own else {}
    values, provenance = dict(base), dict.fromkeys(base, TEMPLATE)
    for layer in [*layered, Layer(derived, DERIVED)]:
        values |= layer.values
        provenance |= {key: layer.source_of(key) for key in layer.values}
    found, warnings = check_spec(action, nest(values), schema)
    found += look(nest(values)) if look else []
    told = {problem.key for problem in problems}
    problems += [problem for problem in found if problem.key not in told]
    keys = {problem.key for problem in problems}
    # How the data of another skill must look is that skill's to say.
    data = look_at_data(nest(values), keys) if own and look_at_data else DataReport()
    _refuse(action, problems, [problem for problem in data.problems if not _is_told(problem, problems)])
    warnings += data.warnings
    read = own_leaves(action, nest(values)) if own else values
    sources = {key: provenance[key] for key in read if key in provenance}
    return Assembled(nest(read), sources | dict.fromkeys(sorted(left_out), AT_LAUNCH), warnings)


def _refuse(action: str, problems: Sequence[Problem], of_data: list[Problem]) -> None:
    if not problems and not of_data:
        return
    if not problems:
        raise refusal(action, of_data)
    what = "its spec and data have" if of_data else "its spec has"
    raise SpecError(
        f"The {action} run can't start: {what} {counted(len(problems) + len(of_data), 'problem')}.",
        problems=[*problems, *of_data],
        next_step="correct what is listed and give the same command again; python -m tao_skill schema "
        f"{action} tells every key with its bounds",
    )


def _is_told(problem: Problem, others: Sequence[Problem]) -> bool:
    """Say whether a problem stands among others, maybe with a hint behind a comma that it lacks."""
    clause = problem.expected.partition(",")[0]
    return any(one.key == problem.key and one.expected.partition(",")[0] == clause for one in others)


def _without_conflicts(layers: Sequence[Layer], base: Mapping[str, Any]) -> tuple[list[Layer], list[Problem]]:
    """Take out keys that stand where a section is, or below where a value is, and say so."""
    sections = {key[:end] for key in base for end, letter in enumerate(key) if letter == "."}
    problems: list[Problem] = []
    kept: list[Layer] = []
    for layer in layers:
        values = {}
        for key, value in layer.values.items():
            above = [key[:end] for end, letter in enumerate(key) if letter == "."]
            if key in sections:
                expected = f"a section that holds {', '.join(_children(key, base))}, not a value"
                problems.append(Problem(key, value, expected))
            elif taken := next((name for name in above if name in base), None):
                problems.append(Problem(key, value, f"no such key; {taken} is a value, not a section"))
            else:
                values[key] = value
        kept.append(Layer(values, layer.source))
    return kept, problems


def _children(section: str, base: Mapping[str, Any]) -> list[str]:
    prefix = f"{section}."
    return list(dict.fromkeys(key.removeprefix(prefix).partition(".")[0] for key in base if key.startswith(prefix)))[:8]
