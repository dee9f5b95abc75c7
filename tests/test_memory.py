"""Memory is what the container leaves, not what the machine has."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tao_skill.memory import free_memory_gb, usable_memory_gb

GB = 10**9
# 64 GB, of which 48 are available.
MACHINE = {"proc/meminfo": "MemTotal: 62500000 kB\nMemFree: 9765625 kB\nMemAvailable: 46875000 kB\nHugePages_Free: 0"}
V1_UNLIMITED = str(2**63 - 4096)


def version_2(limit: str, used: int, stat: str = "") -> dict[str, str]:
    """Return the files of a group."""
    values = {"max": limit, "current": str(used)} | ({"stat": stat} if stat else {})
    return {f"all/job/memory.{name}": text for name, text in values.items()}


@pytest.mark.parametrize(
    ("group", "total", "free"),
    [
        pytest.param({}, 64, 48, id="no limit"),
        pytest.param(version_2("max", 3 * GB), 64, 48, id="unlimited"),
        pytest.param(version_2(str(8 * GB), 3 * GB), 8, 5, id="a container"),
        pytest.param(version_2(str(60 * GB), 3 * GB), 60, 48, id="others need more"),
        pytest.param(version_2(str(8 * GB), 9 * GB), 8, 0, id="lowered since"),
        pytest.param(
            version_2(str(8 * GB), 7 * GB, f"anon {3 * GB}\ninactive_file {4 * GB}"), 8, 5, id="files were read"
        ),
        pytest.param(version_2(str(8 * GB), GB, f"inactive_file {2 * GB}"), 8, 8, id="counted at another moment"),
    ],
)
def test_a_limit_of_version_2_counts(
    told_process: Callable[..., Path], group: Mapping[str, str], total: float, free: float
) -> None:
    system = told_process("0::/job\n", {"": "all"}, MACHINE | dict(group)).parent
    assert (usable_memory_gb(system), free_memory_gb(system)) == (total, free)


@pytest.mark.parametrize(("limit", "total", "free"), [(str(8 * GB), 8, 5), (V1_UNLIMITED, 64, 48)])
def test_a_limit_of_version_1_counts(told_process: Callable[..., Path], limit: str, total: float, free: float) -> None:
    values = {
        "limit_in_bytes": limit,
        "usage_in_bytes": str(7 * GB),
        "stat": f"inactive_file 0\ntotal_inactive_file {4 * GB}",
    }
    files = {f"memory/job/memory.{name}": text for name, text in values.items()}
    system = told_process("4:memory:/job\n", {"memory": "memory"}, MACHINE | files).parent
    assert (usable_memory_gb(system), free_memory_gb(system)) == (total, free)


def test_the_group_that_leaves_least_counts(told_process: Callable[..., Path]) -> None:
    above = {"all/memory.max": str(10 * GB), "all/memory.current": str(9 * GB)}
    system = told_process("0::/job\n", {"": "all"}, MACHINE | version_2(str(8 * GB), 3 * GB) | above).parent
    assert (usable_memory_gb(system), free_memory_gb(system)) == (8, 1)


@pytest.mark.parametrize("told", [{}, {"proc/meminfo": "nonsense"}, {"proc/meminfo": "MemTotal: much"}])
def test_a_system_that_does_not_tell(told_process: Callable[..., Path], told: Mapping[str, str]) -> None:
    system = told_process("0::/\n", {"": "all"}, told).parent
    assert usable_memory_gb(system) is free_memory_gb(system) is None


def test_the_machine_of_this_process_has_memory() -> None:
    total, free = usable_memory_gb(), free_memory_gb()
    assert (total is None) == (free is None)
    assert total is None or free is None or 0 < free <= total
