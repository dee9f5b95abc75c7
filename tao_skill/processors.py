"""How many processors this process may use: those it was given, and no more than its control groups let it keep busy.

Containers are limited in both ways: ``docker --cpuset-cpus`` gives some of the machine's processors, ``--cpus`` and
Kubernetes' limits a quota of time on all of them. Whoever counts the machine's processors starts too many threads,
which then stand still for a part of each tenth of a second.
"""

import os
import sys
from collections.abc import Iterator
from math import ceil, inf
from pathlib import Path, PurePosixPath

__all__ = ["quota", "usable_processors"]

# The folder in which Linux tells of this process; other systems have no quotas.
_PROCESS = Path("/proc/self")


def usable_processors() -> int:
    """Return how many processors this process may keep busy, at least 1; a part of one counts as one."""
    return max(1, ceil(min(_given(), quota())))


def quota(process: Path = _PROCESS) -> float:
    """Return the time of how many processors the control groups of a process let it take, infinite without a limit."""
    return min(_quotas(process), default=inf)


def _given() -> int:
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(process: Path) -> Iterator[float]:
    """Yield the quota of each control group that the process is in, in processors; of a group without one nothing."""
    try:
        groups = dict(_groups((process / "cgroup").read_text(encoding="utf-8")))
        mounts = (process / "mountinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in mounts:
        # As `man 5 proc_pid_mountinfo` tells: ID, parent, device, root, mount point, …, "-", type, source, options.
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.partition(" ")
        if kind == "cgroup2":
            controller, read = "", _quota_of_version_2
        elif kind == "cgroup" and "cpu" in options.split()[-1].split(","):
            controller, read = "cpu", _quota_of_version_1
        else:
            continue
        root, mounted = fields.split()[3:5]
        for folder in _own_and_above(PurePosixPath(groups.get(controller, "/")), PurePosixPath(root), Path(mounted)):
            try:
                yield read(folder)
            except (OSError, ValueError, ZeroDivisionError):
                continue  # no quota, or not to be seen from inside a container


def _groups(text: str) -> Iterator[tuple[str, str]]:
    """Yield each controller and the group it puts the process in; version 2 has one group, and no controller's name."""
    for line in text.splitlines():
        _, controllers, group = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, group


def _own_and_above(group: PurePosixPath, root: PurePosixPath, mounted: Path) -> list[Path]:
    """Return the folders of a group and of those that hold it, where a group ``root`` is mounted."""
    # Inside a container the group may be told as it is called outside, where only its own part is mounted.
    below = group.relative_to(root) if group.is_relative_to(root) and ".." not in group.parts else PurePosixPath()
    return [mounted / part for part in (below, *below.parents)]


def _quota_of_version_2(folder: Path) -> float:
    time, period = (folder / "cpu.max").read_text(encoding="ascii").split()
    return inf if time == "max" else int(time) / int(period)


def _quota_of_version_1(folder: Path) -> float:
    time, period = (int((folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii")) for name in ("quota", "period"))
    return inf if time < 0 else time / period
