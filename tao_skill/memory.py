"""How much main memory this process may take: the machine's, and no more than its control groups let it.

Whoever looks at the machine's memory alone, inside a container that is limited to less, is killed when it takes that.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from math import inf
from pathlib import Path
from typing import NamedTuple

from tao_skill.control_groups import read_groups

__all__ = ["free_memory_gb", "usable_memory_gb"]

# The folder in which Linux tells of this machine and its processes.
_SYSTEM = Path("/proc")


class _Files(NamedTuple):
    """How a group's files are called: the limit, what is in use, and of that what was read of files; in bytes."""

    limit: str
    used: str
    cached: str  # a line of memory.stat


_VERSION_1 = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2 = _Files("memory.max", "memory.current", "inactive_file")


def usable_memory_gb(system: Path = _SYSTEM) -> float | None:
    """Return the main memory that this process may take in all, in GB; None where the system does not tell."""
    return _least(system, "MemTotal", _limit)


def free_memory_gb(system: Path = _SYSTEM) -> float | None:
    """Return the main memory that this process may still take, in GB; None where the system does not tell."""
    return _least(system, "MemAvailable", _left)


def _least(system: Path, name: str, of_group: Callable[[_Files, Path], float]) -> float | None:
    """Return the least of what the machine tells under a name and what its groups do, in GB."""
    try:
        machine = int(_table(system / "meminfo")[f"{name}:"]) * 1024  # told in kB
    except (OSError, ValueError, KeyError):
        return None
    groups = read_groups(
        system / "self", "memory", version_1=partial(of_group, _VERSION_1), version_2=partial(of_group, _VERSION_2)
    )
    return round(min([machine, *groups]) / 1e9, 1)


def _limit(files: _Files, folder: Path) -> float:
    text = (folder / files.limit).read_text(encoding="ascii").strip()
    return inf if text == "max" else int(text)


def _left(files: _Files, folder: Path) -> float:
    taken = int((folder / files.used).read_text(encoding="ascii"))
    # As in the machine's own MemAvailable: what was read of files gives way to whatever needs memory.
    with suppress(OSError, ValueError, KeyError):
        taken -= int(_table(folder / "memory.stat")[files.cached])
    return max(0, _limit(files, folder) - max(0, taken))


def _table(path: Path) -> Mapping[str, str]:
    """Return the second word of each line by the first."""
    lines = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    return {words[0]: words[1] for words in lines if len(words) > 1}
