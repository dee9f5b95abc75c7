"""How many trials of a search run at the same time on this machine, where its settings leave that open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tao_skill.config.automl import AutoML
from tao_skill.memory import free_memory_gb
from tao_skill.processors import usable_processors
from tao_skill.run.devices import most_at_once
from tao_skill.run.preflight import read_gpus, visible_gpus

__all__ = ["trials_at_once"]

# Threads of one training wait for each other: on two processors, two trainings of a small network with a thread each
# do half as many steps again as one with two threads. Memory is what the machine has less of.
_MOST_AT_ONCE = 4
_MEMORY_GB = 4.0


def trials_at_once(settings: AutoML, spec: Mapping[str, Any]) -> int | None:
    """Return how many trials run at once; ``spec`` is flat, by dotted key.

    A GPU serves one training best, and no more trainings run than there are GPUs for, where each takes several.
    None: what a cluster has room for is known when it is there.
    """
    wanted = settings.automl_max_concurrent
    if settings.automl_platform != "local":
        return wanted
    if wanted is None:
        wanted = 1 if visible_gpus(read_gpus()) else _on_processors(spec)
        wanted = min(wanted, settings.automl_max_recommendations)
    most = most_at_once(spec)
    return wanted if most is None else min(wanted, most)


def _on_processors(spec: Mapping[str, Any]) -> int:
    processes = spec.get("train.cpu_processes", 1)
    room = usable_processors() // max(1, processes if isinstance(processes, int) else 1)
    free = free_memory_gb()
    if free is not None:
        room = min(room, int(free / _MEMORY_GB))
    return max(1, min(room, _MOST_AT_ONCE))
