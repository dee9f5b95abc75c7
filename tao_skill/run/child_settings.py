"""Give a child job the shape of the model that its checkpoint holds."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tao_skill.errors import Problem

__all__ = ["ChildSettings", "take_from_checkpoint"]

# What a checkpoint decides; the record beside it names these under `model` and `transform`.
_MODEL_KEYS = ("backbone", "timm_name", "input_width", "input_height", "input_channels", "feat_dim")
_PIXEL_KEYS = ("pixel_mean", "pixel_std")
DECIDED_KEYS = tuple(f"model.{name}" for name in _MODEL_KEYS) + tuple(f"dataset.{name}" for name in _PIXEL_KEYS)


@dataclass(frozen=True)
class ChildSettings:
    """What the checkpoint gives, what it forbids, and the keys whose value is read from it at launch only."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    left_out: frozenset[str] = frozenset()


def take_from_checkpoint(
    action_keys: Collection[str],
    explicit: Mapping[str, Any],
    checkpoint: str,
    record: Mapping[str, Any] | None,
    strict: bool,
) -> ChildSettings:
    """Return the settings that follow from ``checkpoint``.

    ``action_keys`` are the leaves that the action reads; ``record`` is the `checkpoints.json` beside the checkpoint,
    or None where there is none: then the defaults must not pretend to know, and are left out. ``strict`` says that
    the checkpoint is used as it is, so that an override which contradicts it is a problem; training that only starts
    from its weights may differ.
    """
    decided = [key for key in DECIDED_KEYS if key in action_keys]
    held = {} if record is None else _held(record)
    values = {key: held[key] for key in decided if key in held and key not in explicit}
    problems = [
        Problem(
            key,
            explicit[key],
            f"{held[key]!r}, as in the checkpoint {checkpoint}; leave the key out, it is taken from there",
        )
        for key in decided
        if strict and key in held and key in explicit and not _same(held[key], explicit[key])
    ]
    left_out = [key for key in decided if key not in held and key not in explicit] if strict else []
    return ChildSettings(values, problems, frozenset(left_out))


def _held(record: Mapping[str, Any]) -> dict[str, Any]:
    model, transform = record.get("model") or {}, record.get("transform") or {}
    held = {f"model.{name}": model[name] for name in _MODEL_KEYS if name in model}
    return held | {f"dataset.{name}": transform[name] for name in _PIXEL_KEYS if name in transform}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)
    return bool(one == other)
