"""Knowing a process again."""

import os
import subprocess
import sys

from tao_skill.jobs.identity import is_alive, process_start_time, this_process


def test_this_process_is_alive_and_keeps_its_start() -> None:
    first = process_start_time(os.getpid())
    assert first is not None
    assert process_start_time(os.getpid()) == first
    assert is_alive(os.getpid(), first)
    assert this_process()["runner_start_time"] == first


def test_another_start_means_another_process() -> None:
    assert not is_alive(os.getpid(), "boot:1")
    assert not is_alive(os.getpid(), None)
    assert not is_alive(None, "boot:1")


def test_an_ended_process_counts_as_gone_even_before_anybody_waited_for_it() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start = process_start_time(process.pid)
    assert is_alive(process.pid, start)
    assert process.stdin is not None
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process_start_time(process.pid) is None
    process.wait()
    assert not is_alive(process.pid, start)


def test_no_such_process() -> None:
    assert process_start_time(0) is None
    assert process_start_time(-5) is None
    assert process_start_time(2**30) is None
