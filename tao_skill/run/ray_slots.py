"""Where trials run on a Ray cluster: slots like those of one machine, whose workers are actors on its nodes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tao_skill.automl.executor import End
from tao_skill.automl.ray_cluster import RayWorker, check_nodes, connected, most_gpus, room_for
from tao_skill.automl.ray_room import RoomWatch
from tao_skill.automl.warm_worker import Worker
from tao_skill.bank.skill import DEFAULT_SKILL, SKILL_INFO, Skill
from tao_skill.config.keys import flatten
from tao_skill.jobs.reconcile import action_folder
from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import JobStore
from tao_skill.run.prepare_search import PreparedSearch
from tao_skill.run.running_trial import RunningTrial
from tao_skill.run.slots import LocalSlots

__all__ = ["RaySlots", "ray_slots"]

_log = logging.getLogger(__name__)
_TOKEN = ".results_root_is_shared"
# Values are proposed from what ended before: of more trials at once, few know of each other.
_MOST_AT_ONCE = 8


class RaySlots(LocalSlots):
    """Implements `Executor`; a trial's needs are those of its actor, its inputs are staged on its node."""

    def __init__(
        self, prepared: PreparedSearch, store: JobStore, search: JobRecord, *, cpus: float, gpus: float, slots: int
    ) -> None:
        super().__init__(prepared.form, prepared.program, store, search, metric=prepared.metric, slots=slots)
        self._skill, self._cpus, self._gpus = prepared.skill, cpus, gpus
        again = f"ray start on a node, then: python -m tao_skill automl resume {search.job_id}"
        self._watch = RoomWatch(lambda: room_for(cpus, gpus), again)

    def new_worker(self, env: Mapping[str, str], log: Path) -> Worker:
        """Return a worker; the environment is that of its node."""
        del env
        return RayWorker(self._cpus, self._gpus, log)

    def work(self, spec_file: Path) -> dict[str, Any]:
        """Return what a worker has to run: each node has the bank's own skill, others are read where they lie."""
        skill = self._skill.name if _is_everywhere(self._skill) else str(self._skill.directory)
        return {"module": "tao_skill.run.node_trial", "args": [str(spec_file), skill]}

    def note_waiting(self) -> None:
        """Learn that a trial waits for room, and find out whether there will be any.

        Raises:
            NotAvailableError: no node has been left for a while.
        """
        self._watch.look()

    def take_end(self, running: RunningTrial, end: End) -> End:
        """Free the slot, and its place on the cluster where another worker waits for one: a node may be lost."""
        end = super().take_end(running, end)
        waiting = any(one.worker is not None and one.worker.waits for one in self._slots if one.busy)
        if waiting and running.slot.worker is not None:
            running.slot.worker.kill()
            running.slot.worker = None
        return end


@contextmanager
def ray_slots(prepared: PreparedSearch, store: JobStore, search: JobRecord) -> Iterator[RaySlots]:
    """Hold the connection to the cluster, and the slots on it.

    Raises:
        NotAvailableError: no Ray, no cluster, or none that can run trials.
    """
    settings = prepared.settings
    with connected(settings.automl_ray_address):
        gpus = settings.automl_trial_gpus
        if gpus is None:
            wanted, most = flatten(prepared.form.base).get("train.num_gpus", 1), most_gpus()
            gpus = float(wanted) if most and isinstance(wanted, int | float) else 0.0
            gpus = most if gpus < 0 else gpus  # all that there are
        token = action_folder(search) / _TOKEN
        token.write_text(search.job_id, encoding="utf-8")
        needed = {"the results root": token}
        if not _is_everywhere(prepared.skill):
            needed["the skill's folder"] = prepared.skill.directory / SKILL_INFO
        room = check_nodes(settings.automl_trial_cpus, gpus, needed)
        wanted_slots = prepared.at_once or min(room, _MOST_AT_ONCE, settings.automl_max_recommendations)
        if room < wanted_slots:
            _log.warning("The cluster has room for %d trials at once; the others wait for it.", room)
        slots = RaySlots(
            prepared, store, search, cpus=settings.automl_trial_cpus, gpus=gpus, slots=max(1, wanted_slots)
        )  # fmt: skip
        try:
            yield slots
        finally:
            slots.close()


def _is_everywhere(skill: Skill) -> bool:
    """Say whether a skill comes with the package."""
    return skill.name == DEFAULT_SKILL
