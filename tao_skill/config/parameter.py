"""How one parameter is written down: its type, default and bounds, and every fact that a rendering needs."""

from dataclasses import dataclass
from typing import Any, cast

from pydantic import ConfigDict, Field
from pydantic.fields import FieldInfo

__all__ = ["SECTION", "Search", "parameter"]

# Every section: unknown names are refused, values keep their types, nothing infinite.
SECTION = ConfigDict(extra="forbid", allow_inf_nan=False, validate_default=False)

# "> 0" for loaders that know only `minimum`; the standard's `exclusiveMinimum` says the rest.
SMALLEST_POSITIVE = 1e-8


@dataclass(frozen=True)
class Search:
    """The range in which AutoML looks for a value, where the validation bounds are too wide to search."""

    low: float
    high: float
    log: bool = False


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
    option_weights: tuple[float, ...] = (),
    min_length: int | None = None,
    max_length: int | None = None,
    tao_type: str = "",
) -> FieldInfo:
    """Describe one leaf of a spec for ``Annotated``.

    ``math_cond``, ``depends_on``, ``parent_param``, ``popular`` and ``automl`` are facts for AutoML engines;
    ``option_weights`` stand beside the choices, one each, and say how often a search draws them.
    ``automl`` None means that nothing is said, as opposed to switched off. ``gt`` may only be 0.
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
        "x_search": {"low": search.low, "high": search.high, "log": search.log} if search else None,
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
