"""Threads are as many as the processors that the process may use, not as the machine has."""

import os
import subprocess
import sys
from collections.abc import Callable
from math import ceil, inf
from pathlib import Path

import pytest

from tao_skill.processors import quota, usable_processors


@pytest.mark.parametrize(
    ("told", "expected"),
    [("200000 100000", 2), ("150000 100000", 1.5), ("max 100000", inf), ("", inf), ("100000 0", inf)],
)
def test_a_quota_of_version_2_counts(told_process: Callable[..., Path], told: str, expected: float) -> None:
    assert quota(told_process("0::/user/job\n", {"": "all"}, {"all/user/job/cpu.max": told})) == expected


@pytest.mark.parametrize(
    ("own", "above", "expected"), [("max", "300000", 3), ("500000", "300000", 3), ("200000", "max", 2)]
)
def test_the_smallest_quota_on_the_way_to_the_root_counts(
    told_process: Callable[..., Path], own: str, above: str, expected: float
) -> None:
    files = {"all/user/job/cpu.max": f"{own} 100000", "all/user/cpu.max": f"{above} 100000"}
    assert quota(told_process("0::/user/job\n", {"": "all"}, files)) == expected


@pytest.mark.parametrize(("told", "expected"), [("400000", 4), ("50000", 0.5), ("-1", inf)])
def test_a_quota_of_version_1_counts(told_process: Callable[..., Path], told: str, expected: float) -> None:
    files = {"cpu/job/cpu.cfs_quota_us": told, "cpu/job/cpu.cfs_period_us": "100000"}
    assert quota(told_process("4:cpu,cpuacct:/job\n0::/\n", {"cpu,cpuacct": "cpu"}, files)) == expected


def test_this_process_may_use_what_it_was_given_within_its_quota() -> None:
    given = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert usable_processors() == (given if quota() == inf else max(1, min(given, ceil(quota()))))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no process")
def test_a_process_that_is_pinned_to_a_processor_has_one() -> None:
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        "from tao_skill.processors import usable_processors; print(usable_processors()); "
        "from tao_skill.run.preflight import look_around; from pathlib import Path; "
        "print(look_around(Path(), 1).cpu_count)"
    )
    answer = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert answer.split() == ["1", "1"]
