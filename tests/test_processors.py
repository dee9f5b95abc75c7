"""Threads are as many as the processors that the process may use, not as the machine has."""

import os
import subprocess
import sys
from math import ceil, inf
from pathlib import Path

import pytest

from tao_skill.processors import quota, usable_processors

V2 = "30 25 0:26 {root} {mounted} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot"
V1 = "31 25 0:27 {root} {mounted} rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct"
OTHER = "32 25 0:28 / {mounted} rw,nosuid shared:9 - cgroup cgroup rw,memory"
DISK = "24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro"


def process(folder: Path, groups: str, *mounts: str, root: str = "/") -> Path:
    """Return a folder that tells of a process as Linux does, whose groups are mounted at ``folder / "groups"``."""
    told = folder / "proc"
    told.mkdir()
    (told / "cgroup").write_text(groups)
    lines = [line.format(root=root, mounted=folder / "groups") for line in (DISK, *mounts)]
    (told / "mountinfo").write_text("\n".join(lines) + "\n")
    return told


def group(folder: Path, path: str, **values: str) -> None:
    """Write a control group's files."""
    own = folder / "groups" / path
    own.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (own / f"cpu.{name}").write_text(value + "\n")


@pytest.mark.parametrize(
    ("told", "expected"), [("200000 100000", 2), ("150000 100000", 1.5), ("max 100000", inf), ("", inf)]
)
def test_a_quota_of_version_2_counts(tmp_path: Path, told: str, expected: float) -> None:
    group(tmp_path, "user/job", max=told)
    assert quota(process(tmp_path, "0::/user/job\n", V2)) == expected


@pytest.mark.parametrize(
    ("own", "above", "expected"), [("max", "300000", 3), ("500000", "300000", 3), ("200000", "max", 2)]
)
def test_the_smallest_quota_on_the_way_to_the_root_counts(
    tmp_path: Path, own: str, above: str, expected: float
) -> None:
    group(tmp_path, "user/job", max=f"{own} 100000")
    group(tmp_path, "user", max=f"{above} 100000")
    assert quota(process(tmp_path, "0::/user/job\n", V2)) == expected


@pytest.mark.parametrize(("told", "expected"), [("400000", 4), ("50000", 0.5), ("-1", inf)])
def test_a_quota_of_version_1_counts(tmp_path: Path, told: str, expected: float) -> None:
    group(tmp_path, "job", cfs_quota_us=told, cfs_period_us="100000")
    groups = "9:memory:/elsewhere\n4:cpu,cpuacct:/job\n1:name=systemd:/\n0::/\n"
    assert quota(process(tmp_path, groups, OTHER, V1)) == expected


@pytest.mark.parametrize(
    ("told", "root"),
    [
        pytest.param("0::/\n", "/", id="a namespace of its own"),
        pytest.param("0::/docker/1f0e\n", "/docker/1f0e", id="only its own group is mounted"),
        pytest.param("0::/docker/1f0e\n", "/", id="called as outside"),
        pytest.param("0::/../1f0e\n", "/", id="outside of its namespace"),
    ],
)
def test_a_container_sees_its_quota_at_the_root(tmp_path: Path, told: str, root: str) -> None:
    group(tmp_path, "", max="200000 100000")
    assert quota(process(tmp_path, told, V2, root=root)) == 2


@pytest.mark.parametrize("text", ["", "nonsense\n", "0::/\n"])
def test_what_cannot_be_read_limits_nothing(tmp_path: Path, text: str) -> None:
    assert quota(process(tmp_path, text)) == inf
    assert quota(tmp_path / "absent") == inf


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
