"""What Linux' control groups let a process take: containers are limited by them, and so are services.

A limit may be set for the process's own group or for any that holds it, in version 1 or 2 of the files.
"""

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

__all__ = ["read_groups"]

_T = TypeVar("_T")


def read_groups(
    process: Path, controller: str, *, version_1: Callable[[Path], _T], version_2: Callable[[Path], _T]
) -> Iterator[_T]:
    """Yield what is read in the folder of each group that the process is in, its own first; of one without it nothing.

    ``process`` is the folder in which Linux tells of it, such as ``/proc/self``; ``controller`` is called ``cpu`` or
    ``memory``, say. ``version_1`` and ``version_2`` read a group's folder; where they can't (`OSError`, `ValueError`,
    `ZeroDivisionError`), it is passed over. Systems other than Linux have no such groups.
    """
    for version, folder in _folders(process, controller):
        try:
            yield (version_2 if version == 2 else version_1)(folder)
        except (OSError, ValueError, ZeroDivisionError):
            continue  # no limit, or not to be seen from inside a container


def _folders(process: Path, controller: str) -> Iterator[tuple[int, Path]]:
    """Yield the version and the folder of each group that the process is in."""
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
            version, group = 2, groups.get("", "/")
        elif kind == "cgroup" and controller in options.split()[-1].split(","):
            version, group = 1, groups.get(controller, "/")
        else:
            continue
        root, mounted = fields.split()[3:5]
        for folder in _own_and_above(PurePosixPath(group), PurePosixPath(root), Path(mounted)):
            yield version, folder


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
