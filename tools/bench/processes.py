"""Run a program and measure it from outside: wall clock, processor time, memory of it and of all it starts."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["FOR_REFERENCE", "Measured", "answer_of", "child_environment", "own_peak_mb", "run_measured"]

_SECONDS_BETWEEN_LOOKS, _LOOKS_BETWEEN_WALKS = 1.0, 10
# What importing this project, or a package that it brings, tells PyTorch, OpenMP and the C library about threads and
# memory. Each side of a comparison says it anew where it wants to; neither may inherit it from this process.
_SET_BY_IMPORTS = ("GOMP_", "KMP_", "MALLOC_", "OMP_WAIT_POLICY", "PYTORCH_", "TORCHINDUCTOR_")
#: Serves the reference best. Unless it is told, its threads keep the processors from the processes that load its
#: images: it would be a quarter slower with a small network.
FOR_REFERENCE = {"OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True)
class Measured:
    """What one run took.

    ``began`` and ``ended`` are times of the clock, ``cpu_s`` processor seconds of the process and its children.
    ``peak_mb`` is the largest memory of all of them together that one look found, in 10^6 bytes, where pages that
    processes share count once; in ``peak_resident_mb`` they count in each of them, as in what `ps` and `top` show.
    """

    began: float
    ended: float
    cpu_s: float
    peak_mb: float
    peak_resident_mb: float


def run_measured(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Measured:
    """Run a program to its end, in the environment of all children, with more if there is more.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    began, before = time.time(), os.times()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=child_environment(environment)
    ) as process:
        memory = _Memory(process.pid)
        said, _ = process.communicate()
        shared, resident = memory.peaks()
    ended, after = time.time(), os.times()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{said[-3000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Measured(began, ended, cpu, shared / 1e6, resident / 1e6)


def answer_of(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Any:
    """Run a program as `run_measured` does and return the JSON document in the last line of its output.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=child_environment(environment))
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def child_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without what imports set in it, and with more."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SET_BY_IMPORTS)}
    return kept | dict(more or {})


def own_peak_mb() -> float:
    """Return the largest resident memory of this program so far, in 10^6 bytes.

    The peak of `getrusage` outlives `exec`: it tells that of the process which started this one, where that is larger.
    """
    return _peak(os.getpid()) / 1e6


class _Memory(threading.Thread):
    """Look at the memory of a process and its descendants again and again, and take little time from them.

    Of the process itself the kernel keeps the peak, of its descendants what they hold at the moment counts. To count
    shared pages once, the kernel walks through all pages while the process waits: looked at five times a second, a
    training on two processors loses a twentieth of its speed. So that is done where it may find more than before: when
    the whole has changed by a hundredth, and now and then, since pages that a process writes to cease to be shared
    while the whole stays as it is. All parts of a sum are from the same look, and no difference is of two moments:
    within a step memory comes and goes by hundreds of megabytes.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self._resident, self._once = pid, 0, 0
        self._done = threading.Event()
        self.start()

    def run(self) -> None:
        walked_at, looks = 0, 0
        while not self._done.wait(_SECONDS_BETWEEN_LOOKS):
            family = _family(self._pid)
            resident = _peak(self._pid) + sum(_resident(pid) for pid in family[1:])
            self._resident = max(self._resident, resident)
            looks += 1
            changed = abs(resident - walked_at) > walked_at / 100 or looks >= _LOOKS_BETWEEN_WALKS
            if changed and resident > self._once:
                walked_at, looks = resident, 0
                self._once = max(self._once, self._counted_once(family[1:]))

    def _counted_once(self, descendants: list[int]) -> int:
        """Return the sum in which the process counts whole, but its descendants without the files that it maps too.

        What the kernel calls a share can't serve for files: other programs, such as this one, map the same libraries.
        """
        walks, sizes = ([of(pid) for pid in (self._pid, *descendants)] for of in (_walked, _status))
        own, mapped = walks[0], [size.get("RssFile", 0) for size in sizes]
        twice = own.get("Anonymous", 0) - own.get("Pss_Anon", 0)
        twice += max(0, sizes[0].get("RssShmem", 0) - own.get("Pss_Shmem", 0))
        theirs = sum(walk.get("Pss_Anon", 0) + walk.get("Pss_Shmem", 0) for walk in walks[1:])
        return _peak(self._pid) - twice + theirs + max(mapped) - mapped[0]

    def peaks(self) -> tuple[int, int]:
        """Stop looking and return the largest sums, in bytes: shared pages counted once, and in each process."""
        self._done.set()
        self.join()
        return self._once, self._resident


def _family(pid: int) -> list[int]:
    """Return a process and its descendants, but those that still have their parent's memory for their own.

    Who starts a program by vfork lends it the whole memory, and waits in a sleep that can't be interrupted until the
    program runs: counted then, all of that would count twice.
    """
    found = [pid]
    for member in found:
        for thread in Path(f"/proc/{member}/task").glob("*"):
            try:
                children = [int(child) for child in (thread / "children").read_text().split()]
                # Looked at after its children were: if it doesn't wait now, they have memory of their own.
                waits = (thread / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "D"
            except OSError:  # it has ended
                continue
            found += [] if waits else children
    return found


def _resident(pid: int) -> int:
    """Return the memory of a process in bytes."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # it has ended
        return 0


def _peak(pid: int) -> int:
    """Return the largest memory that a process has had, in bytes."""
    return _status(pid).get("VmHWM", 0)


def _status(pid: int) -> dict[str, int]:
    return _sizes(f"/proc/{pid}/status")


def _walked(pid: int) -> dict[str, int]:
    """Return the kinds of memory of a process in bytes; in a "Pss", a page that n processes share counts 1/n."""
    return _sizes(f"/proc/{pid}/smaps_rollup")


def _sizes(file: str) -> dict[str, int]:
    """Return what a file says in kB, in bytes."""
    try:
        lines = Path(file).read_text(encoding="ascii").splitlines()
    except OSError:  # the process has ended
        return {}
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith(" kB")}
