"""How many processors this process may use: those it was given, and no more than its control groups let it keep busy.

Containers are limited in both ways: ``docker --cpuset-cpus`` gives some of the machine's processors, ``--cpus`` and
Kubernetes' limits a quota of time on all of them. Whoever counts the machine's processors starts too many threads,
which then stand still for a part of each tenth of a second.
"""

import os
import sys
from math import ceil, inf
from pathlib import Path

from tao_skill.control_groups import read_groups

__all__ = ["quota", "usable_processors"]

# The folder in which Linux tells of this process; other systems have no quotas.
_PROCESS = Path("/proc/self")


def usable_processors() -> int:
    """Return how many processors this process may keep busy, at least 1; a part of one counts as one."""
    return max(1, ceil(min(_given(), quota())))


def quota(process: Path = _PROCESS) -> float:
    """Return the time of how many processors the control groups of a process let it take, infinite without a limit."""
    quotas = read_groups(process, "cpu", version_1=_quota_of_version_1, version_2=_quota_of_version_2)
    return min(quotas, default=inf)


def _given() -> int:
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota_of_version_2(folder: Path) -> float:
    time, period = (folder / "cpu.max").read_text(encoding="ascii").split()
    return inf if time == "max" else int(time) / int(period)


def _quota_of_version_1(folder: Path) -> float:
    time, period = (int((folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii")) for name in ("quota", "period"))
    return inf if time < 0 else time / period
