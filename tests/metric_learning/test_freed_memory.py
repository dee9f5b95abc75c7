"""Freed memory stays with the process, so that a training does not ask for it again at each step."""

import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tao_skill.metric_learning.freed_memory import keep_freed_memory

PROGRAM = """
import resource, sys
import numpy as np
from tao_skill.metric_learning.freed_memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()

def work():
    arrays = [np.ones(800_000) for _ in range(20)]  # 6.4 MB each

work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc's way")
def test_pages_are_asked_for_once() -> None:
    asked = {
        how: int(subprocess.run([sys.executable, "-c", PROGRAM, how], check=True, capture_output=True).stdout)
        for how in ("keep", "plain")
    }
    assert asked["keep"] < 0.1 * asked["plain"]


def refuse(error: Exception) -> Callable[[None], Any]:
    def load(_: None) -> Any:
        raise error

    return load


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(lambda _: SimpleNamespace(), id="musl and macOS: a library without mallopt"),
        pytest.param(refuse(TypeError("argument of type 'NoneType' is not iterable")), id="Windows: not loaded so"),
        pytest.param(refuse(OSError("Dynamic loading not supported")), id="a static Python"),
        pytest.param(lambda _: SimpleNamespace(mallopt=lambda *_: 0), id="a mallopt that knows neither"),
    ],
)
def test_another_c_library_is_left_alone(load: Callable[[None], Any]) -> None:
    assert keep_freed_memory(load) is False
