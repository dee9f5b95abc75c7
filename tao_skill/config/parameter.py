"""How one parameter is written down: its type, default and bounds, and every fact that a rendering needs."""

from dataclasses import dataclass
from typing import Any, Literal, cast

from pydantic import ConfigDict, Field
from pydantic.fields import FieldInfo

__all__ = ["SECTION", "Effect", "Search", "effect_facts", "parameter"]

# Every section: unknown names are refused, values keep their types, nothing infinite. A section's validator is built at
# its first use, mostly never: the spec that holds it builds one for all.
SECTION = ConfigDict(extra="forbid", allow_inf_nan=False, validate_default=False, defer_build=True)

# "> 0" for loaders that know only `minimum`; the standard's `exclusiveMinimum` says the rest.
SMALLEST_POSITIVE = 1e-8


@dataclass(frozen=True)
class Search:
    """The range in which AutoML looks for a value, where the validation bounds are too wide to search.

    Where ``high_key`` names another parameter, the range ends at ``high_share`` of its value at the latest.
    """

    low: float
    high: float
    log: bool = False
    high_key: str = ""
    high_share: float = 1.0


@dataclass(frozen=True)
class Effect:
    """When a setting does anything: while ``key`` holds one of ``values``, or the first entry of its list is ``below``.

    ``below`` names another parameter. ``reason`` says, in a few words, why the setting is idle otherwise;
    ``{value}`` stands there for what ``key`` holds.
    """

    key: str
    reason: str
    values: tuple[Any, ...] = ()
    below: str = ""


def effect_facts(effect: Effect | tuple[Effect, ...]) -> dict[str, Any]:
    """Return effects, all of which must hold, as the extra facts of a leaf or of a whole section."""
    effects = effect if isinstance(effect, tuple) else (effect,)
    return {"x_effect_if": [_effect_fact(one) for one in effects]}


def _effect_fact(effect: Effect) -> dict[str, Any]:
    condition: dict[str, Any] = {"first_below": effect.below} if effect.below else {"in": list(effect.values)}
    return {"key": effect.key, **condition, "reason": effect.reason}


def parameter(
    description: str,
    *,
    title: str = "",
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    math_cond: str = "",
    automl: bool | None = None,
    popular: bool = False,
    depends_on: str = "",
    parent_param: bool = False,
    search: Search | None = None,
    effect: Effect | tuple[Effect, ...] = (),
    multiple_of: str = "",
    search_multiples: int = 1,
    budget: bool = False,
    trial_value: Any = None,
    monitor: Literal["", "metric", "mode"] = "",
    kept_on_resume: bool = False,
    option_weights: tuple[float, ...] = (),
    min_length: int | None = None,
    max_length: int | None = None,
    tao_type: str = "",
) -> FieldInfo:
    """Describe one leaf of a spec for ``Annotated``.

    ``math_cond``, ``depends_on``, ``parent_param``, ``popular`` and ``automl`` are facts for AutoML engines;
    ``option_weights`` stand beside the choices, one each, and say how often a search draws them.
    ``automl`` None means that nothing is said, as opposed to switched off. ``gt`` may only be 0.

    ``multiple_of`` names the parameter of which this one is a multiple; a search takes ``search_multiples`` times that
    one at least. ``budget`` marks the parameter that says how long a training lasts. ``trial_value`` is what a trial of
    a search uses where the user says nothing. ``monitor`` marks what chooses the best checkpoint: the metric's name, or
    whether its larger values are better; a search by another metric sets both. ``kept_on_resume`` marks what a training
    can't change when it goes on from a checkpoint.
    """
    extra: dict[str, Any] = {
        "exclusiveMinimum": gt,
        "minimum": SMALLEST_POSITIVE if gt is not None else ge,
        "maximum": le,
        "math_cond": math_cond or None,
        "automl_enabled": automl,
        "popular": popular or None,
        "depends_on": depends_on or None,
        "parent_param": "TRUE" if parent_param else None,
        "x_search": _search_fact(search) if search else None,
        **(effect_facts(effect) if effect else {}),
        "x_multiple_of": {"key": multiple_of, "search_at_least": search_multiples} if multiple_of else None,
        "x_budget": budget or None,
        "x_trial_value": trial_value,
        "x_monitor": monitor or None,
        "x_kept_on_resume": kept_on_resume or None,
        "option_weights": list(option_weights) or None,
        "x_tao_type": tao_type or None,
    }
    facts = {name: value for name, value in extra.items() if value is not None}
    field = Field(
        title=title or None,
        description=description,
        ge=ge,
        gt=gt,
        le=le,
        min_length=min_length,
        max_length=max_length,
        json_schema_extra=facts,
    )
    return cast(FieldInfo, field)


def _search_fact(search: Search) -> dict[str, Any]:
    fact: dict[str, Any] = {"low": search.low, "high": search.high, "log": search.log}
    return fact | ({"high_key": search.high_key, "high_share": search.high_share} if search.high_key else {})
