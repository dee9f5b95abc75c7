"""What limits a process is found in its own control group and in those above, in containers too."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tao_skill.control_groups import read_groups

FILES = {"all/limit": "1", "all/user/limit": "2", "all/user/job/limit": "3"}


def limits(process: Path) -> list[str]:
    """Read a file of no kernel's in each group."""

    def read(folder: Path) -> int:
        return int((folder / "limit").read_text())

    return list(
        read_groups(process, "memory", version_1=lambda one: f"{read(one)} v1", version_2=lambda one: f"{read(one)} v2")
    )


def test_the_groups_above_count_too(told_process: Callable[..., Path]) -> None:
    assert limits(told_process("0::/user/job\n", {"": "all"}, FILES)) == ["3 v2", "2 v2", "1 v2"]


def test_version_1_has_groups_for_each_controller(told_process: Callable[..., Path]) -> None:
    groups = "9:cpu:/elsewhere\n4:memory,hugetlb:/user\n1:name=systemd:/user/job\n0::/nowhere\n"
    mounts = {"cpu": "all/user/job", "hugetlb,memory": "all", "": "none"}
    assert limits(told_process(groups, mounts, FILES)) == ["2 v1", "1 v1"]


@pytest.mark.parametrize("damage", [{"all/user/limit": ""}, {"all/user/limit": "soon"}])
def test_a_group_without_a_limit_is_passed_over(told_process: Callable[..., Path], damage: Mapping[str, str]) -> None:
    assert limits(told_process("0::/user/job/part\n", {"": "all"}, FILES | damage)) == ["3 v2", "1 v2"]


@pytest.mark.parametrize(
    ("told", "root"),
    [
        pytest.param("0::/\n", "/", id="a namespace of its own"),
        pytest.param("0::/docker/1f0e\n", "/docker/1f0e", id="only its own group is mounted"),
        pytest.param("0::/docker/1f0e\n", "/", id="called as outside"),
        pytest.param("0::/../1f0e\n", "/", id="outside of its namespace"),
    ],
)
def test_a_container_sees_its_limit_at_the_root(told_process: Callable[..., Path], told: str, root: str) -> None:
    assert limits(told_process(told, {"": "all"}, FILES, root)) == ["1 v2"]


@pytest.mark.parametrize("text", ["", "nonsense\n", "0::/\n"])
def test_what_cannot_be_read_limits_nothing(told_process: Callable[..., Path], tmp_path: Path, text: str) -> None:
    assert limits(told_process(text, {}, {})) == []
    assert limits(tmp_path / "absent") == []
