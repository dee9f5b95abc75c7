"""Which GPUs trials may use that run at the same time, and how these and the processors are divided among them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from tao_skill.processors import usable_processors
from tao_skill.run.preflight import VISIBLE, read_gpus, visible_gpus

__all__ = ["gpus_of_a_trial", "has_several_processes", "most_at_once", "slot_environments"]


def gpus_of_a_trial(spec: Mapping[str, Any], there: int) -> int:
    """Return how many of the GPUs that are ``there`` a training takes; ``spec`` is flat, by dotted key."""
    wanted = spec.get("train.num_gpus", 1)
    if not isinstance(wanted, int) or wanted == 0:
        return 1
    return wanted if wanted > 0 else there  # -1: all


def has_several_processes(spec: Mapping[str, Any]) -> bool:
    """Say whether a training may start other processes than the one that it is started in; ``spec`` is flat."""
    return any(spec.get(f"train.{name}", 1) not in (0, 1) for name in ("num_gpus", "num_nodes", "cpu_processes"))


def most_at_once(spec: Mapping[str, Any]) -> int | None:
    """Return how many trainings the GPUs of this process have room for; ``spec`` is flat.

    None: any number, since trainings on one GPU may share it; and where there is no GPU, processors serve all.
    """
    if spec.get("train.num_gpus", 1) in (0, 1):
        return None
    gpus = _named(spec) or visible_gpus(read_gpus())
    return max(1, len(gpus) // gpus_of_a_trial(spec, len(gpus))) if gpus else None


def slot_environments(slots: int, spec: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the environment of each slot: each has processors and GPUs of its own, as far as there are enough.

    Where the flat ``spec`` names certain GPUs, all slots see what this process sees: these numbers count from there.
    """
    base = os.environ | {"PYTHONUNBUFFERED": "1"}
    if slots == 1:
        return [base]
    threads = {} if "OMP_NUM_THREADS" in base else {"OMP_NUM_THREADS": str(max(1, usable_processors() // slots))}
    gpus = [] if _named(spec) else visible_gpus(read_gpus())
    shares = _divided(gpus, slots, gpus_of_a_trial(spec, len(gpus)))
    return [base | threads | ({VISIBLE: ",".join(own)} if own else {}) for own in shares]


def _divided(gpus: Sequence[str], slots: int, each: int) -> list[Sequence[str]]:
    """Return the GPUs of each slot, at least as many as a training takes; several share one where there are too few."""
    if not gpus:
        return [()] * slots
    share = max(1, each, len(gpus) // slots)
    return [gpus[(number * share) % len(gpus) :][:share] for number in range(slots)]


def _named(spec: Mapping[str, Any]) -> list[Any]:
    """Return the GPUs that a spec names, where these are others than the first ones, which every slot has."""
    ids = spec.get("train.gpu_ids")
    return list(ids) if isinstance(ids, list | tuple) and list(ids) != list(range(len(ids))) else []
