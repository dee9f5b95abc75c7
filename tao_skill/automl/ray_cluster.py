"""Workers on a Ray cluster: an actor for each slot, which holds its processors and GPUs, with a warm worker inside.

Plain actors, and not Ray Tune: Tune would bring its own searchers, its own trial ids, checkpoints and resume, beside
those that the search has already. One history decides, here as on one machine; so a search can be moved from the one
to the other by resuming it, every algorithm runs on both, and a lost node is a failure of the machine like any other:
the trial is started again elsewhere, from its newest checkpoint on the results root that all nodes share.
"""

from __future__ import annotations

import os
import platform
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from tao_skill.automl.warm_worker import WarmWorker
from tao_skill.errors import NotAvailableError, Problem
from tao_skill.installation import install_command

__all__ = ["RayWorker", "check_nodes", "connected", "most_gpus", "room_for"]

_NODE_SECONDS = 120
_CONNECT_SECONDS = 10


def _step() -> str:
    return f"{install_command('automl,ray')}, on every node"


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Hold the connection to a cluster.

    Raises:
        NotAvailableError: Ray is not installed, or there is no such cluster.
    """
    # Nobody is told that this was used.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise NotAvailableError(
            "Ray is not installed, which --platform ray needs.", next_step=f"{_step()}, or --platform local"
        ) from error
    if address.startswith("ray://"):
        raise _no_cluster(address, "the search itself has to run on a node of the cluster")
    _refuse_silent(address)
    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False, "namespace": "tao-skill"}
    if address == "local":
        options |= {"include_dashboard": False, "object_store_memory": 100 * 2**20}
    handler = signal.getsignal(signal.SIGTERM)
    # Ray prints that a node is lost, among others, to where a command's JSON goes.
    with redirect_stdout(sys.stderr):
        try:
            ray.init(address=address, **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise _no_cluster(address, str(error).splitlines()[0]) from error
        # Ray takes SIGTERM for itself; the search stops its trials first.
        _restore(handler)
        try:
            yield
        finally:
            ray.shutdown()
            _restore(handler)


def check_nodes(cpus: float, gpus: float, needed: Mapping[str, Path]) -> int:
    """Return how many trials the cluster can run at once, after each node has been seen to be of use.

    ``needed`` are files that all nodes must see under the same path, each by what it stands for.

    Raises:
        NotAvailableError: no node has what a trial needs, or nodes lack the package or a needed file: all of them.
    """
    ray = _ray()
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = _alive()
    room = {node["NodeID"]: _room(node["Resources"], cpus, gpus) for node in nodes}
    useful = [node for node in nodes if room[node["NodeID"]] > 0]
    if not useful:
        held = {node["NodeManagerHostname"]: dict(node["Resources"]) for node in nodes}
        raise NotAvailableError(
            "No node of the cluster has what a trial needs.",
            problems=[
                Problem("automl_trial_cpus, automl_trial_gpus", [cpus, gpus], f"at most what a node has: {held}")
            ],
            next_step="--automl automl_trial_cpus=1 automl_trial_gpus=0",
        )
    look = ray.remote(num_cpus=0, max_retries=0)(_lacks)
    asked = {
        node["NodeManagerHostname"] + " " + node["NodeID"][:8]: look.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote({words: str(path) for words, path in needed.items()})
        for node in useful
    }
    problems = []
    for name, answer in asked.items():
        try:
            for words in ray.get(answer, timeout=_NODE_SECONDS):
                problems.append(Problem(name, str(needed[words]), f"{words} under the same path"))
        except ray.exceptions.RayError as error:
            problems.append(Problem(name, str(error).strip().splitlines()[-1][:200], "tao-skill, installed as here"))
    if problems:
        raise NotAvailableError("Not all nodes can run trials.", problems=problems, next_step=_step())
    return sum(room.values())


def room_for(cpus: float, gpus: float) -> int:
    """Return how many trials the nodes that live could run at once, were nothing else to run there."""
    return sum(_room(node["Resources"], cpus, gpus) for node in _alive())


def most_gpus() -> float:
    """Return how many GPUs the node with the most of them has."""
    return max((float(node["Resources"].get("GPU", 0)) for node in _alive()), default=0.0)


def _alive() -> list[dict[str, Any]]:
    """Return the nodes that live."""
    return [node for node in _ray().nodes() if node["Alive"]]


class RayWorker:
    """A worker on whichever node has room; implements `Worker` and never waits."""

    pid: int | None = None

    def __init__(self, cpus: float, gpus: float, log: Path) -> None:
        self._ray = ray = _ray()
        self._actor: Any = ray.remote(_Host).options(num_cpus=cpus, num_gpus=gpus, max_restarts=0).remote(str(log))
        self._answer: dict[str, Any] | None = None
        self._code: int | None = None
        self._looking: Any = None
        self._is_placed = False  # whether a node has room for it and has started it

    def give(self, task: Mapping[str, Any]) -> None:
        """Hand over a task; it begins as soon as a node has room."""
        self._actor.give.remote(dict(task))

    def stop(self, task_id: int) -> None:
        """Interrupt a task, as Ctrl-C would; one that waits for room yet is gone at once."""
        if self.waits:
            self.kill()
        else:
            self._actor.stop.remote(task_id)

    def answer(self) -> dict[str, Any] | None:
        """Return the answer of the task that ended; None while it runs."""
        self._look()
        found, self._answer = self._answer, None
        return found

    @property
    def exit_code(self) -> int | None:
        """Return how the worker ended: with SIGKILL where its node is lost."""
        self._look()
        return self._code

    @property
    def waits(self) -> bool:
        """Say whether no node has started it yet."""
        return not self._is_placed and self._code is None

    def kill(self) -> None:
        """End the worker and all that it started."""
        self._code = self._code if self._code is not None else -signal.SIGKILL
        self._ray.kill(self._actor)

    def _look(self) -> None:
        if self._code is not None or self._answer is not None:
            return
        if self._looking is None:
            self._looking = self._actor.look.remote()
        if not self._ray.wait([self._looking], timeout=0)[0]:
            return
        looking, self._looking = self._looking, None
        try:
            self._answer, self._code = self._ray.get(looking)
            self._is_placed = True
        except self._ray.exceptions.RayError:
            self._code = -signal.SIGKILL


class _Host:
    """The actor; the worker is a process of its own, so that it can be interrupted, and ends with this one."""

    def __init__(self, log: str) -> None:
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        self._worker = WarmWorker(environment, Path(log))

    def give(self, task: dict[str, Any]) -> None:
        self._worker.give(task)

    def stop(self, task_id: int) -> None:
        self._worker.stop(task_id)

    def look(self) -> tuple[dict[str, Any] | None, int | None]:
        answer = self._worker.answer()
        return answer, None if answer is not None else self._worker.exit_code


def _refuse_silent(address: str) -> None:
    """Refuse an address where nobody listens: Ray itself would try it for minutes.

    With auto, Ray takes the address from the environment, or from a file that a cluster which was killed leaves behind.
    """
    if address == "auto":
        left = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")
        address = os.environ.get("RAY_ADDRESS", "") or (left.read_text().strip() if left.is_file() else "")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, f"nobody listens at {address} ({error})") from error


def _ray() -> Any:
    """Return Ray, whose own types don't tell that methods of actors are remote."""
    import ray

    return ray


def _lacks(needed: Mapping[str, str]) -> list[str]:
    """Return what a node doesn't see; called there, where the package must be."""
    import tao_skill.automl.worker

    assert tao_skill.automl.worker
    return [words for words, path in needed.items() if not Path(path).is_file()]


def _room(resources: Mapping[str, float], cpus: float, gpus: float) -> int:
    by_gpu = int(resources.get("GPU", 0) / gpus) if gpus else 10**6
    return min(int(resources.get("CPU", 0) / cpus), by_gpu)


def _restore(handler: Any) -> None:
    try:
        signal.signal(signal.SIGTERM, handler)
    except ValueError:  # not in the main thread, where Ray has not touched it either
        return


def _no_cluster(address: str, why: str) -> NotAvailableError:
    return NotAvailableError(
        f"There is no Ray cluster to run trials on: {why}.",
        problems=[Problem("automl_ray_address", address, f"a cluster that {platform.node()} belongs to")],
        next_step="ray start --head (on other nodes: ray start --address HOST:6379), or --ray-address local",
    )
