"""Processes in a group of their own: logged, echoed, ended with all their children."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tao_skill.errors import JobError
from tao_skill.jobs.identity import is_alive, process_start_time
from tao_skill.jobs.process import start, stop_group

WITH_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""
STUBBORN = """
import signal, time
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""
RUNNER = """
import sys
from pathlib import Path
from tao_skill.jobs.process import start
handle = start([sys.executable, "-c", sys.argv[1]], Path(sys.argv[2]), grace=float(sys.argv[3]))
print("started", handle.pid, flush=True)
print("ended", handle.wait(), handle.interrupted_by, flush=True)
"""


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def wait_for_text(path: Path, seconds: float = 20) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if path.exists() and path.read_text().endswith("\n"):
            return path.read_text()
        time.sleep(0.01)
    raise AssertionError(f"{path} stayed empty")


def wait_until_gone(pid: int, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while process_start_time(pid) is not None and time.monotonic() < end:
        time.sleep(0.01)
    return process_start_time(pid) is None


def test_output_goes_to_the_log_and_is_echoed(tmp_path: Path) -> None:
    log, echo = tmp_path / "a" / "log.txt", io.StringIO()
    program = "import sys; print('größer'); print('wrong', file=sys.stderr); sys.exit(3)"
    handle = start(python(program), log, env={**os.environ, "PYTHONUTF8": "1"}, echo=echo)
    assert handle.wait() == 3
    assert handle.interrupted_by is None
    assert sorted(log.read_text().split()) == ["größer", "wrong"]
    assert echo.getvalue() == log.read_text()


def test_a_log_is_continued_and_only_the_new_part_echoed(tmp_path: Path) -> None:
    log, echo = tmp_path / "log.txt", io.StringIO()
    log.write_text("before\n")
    start(python("print('after')"), log, echo=echo).wait()
    assert log.read_text() == "before\nafter\n"
    assert echo.getvalue() == "after\n"


def test_an_echo_that_breaks_does_not_stop_the_action(tmp_path: Path) -> None:
    closed = io.StringIO()
    closed.close()
    assert start(python("print('x')"), tmp_path / "log.txt", echo=closed).wait() == 0


def test_the_environment_is_the_one_given(tmp_path: Path) -> None:
    start(python("import os; print(os.environ['COLOUR'])"), tmp_path / "log", env={"COLOUR": "red"}).wait()
    assert (tmp_path / "log").read_text() == "red\n"


def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(JobError, match="can't be started"):
        start([str(tmp_path / "nothing")], tmp_path / "log.txt")
    assert signal.getsignal(signal.SIGTERM) is before


def test_kill_9_of_the_action_ends_its_children_too(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    handle = start(python(WITH_CHILD), log)
    child = int(wait_for_text(log))
    os.kill(handle.pid, signal.SIGKILL)
    assert handle.wait() == -signal.SIGKILL
    assert wait_until_gone(child)


def test_terminate_then_kill_after_the_grace_period(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    handle = start(python(STUBBORN), log, grace=0.2)
    wait_for_text(log)
    handle.terminate()
    assert handle.wait() == -signal.SIGKILL


def test_leaving_the_block_leaves_no_process(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    before = signal.getsignal(signal.SIGINT)
    pids: list[int] = []

    def fail_inside() -> None:
        with start(python(WITH_CHILD), log) as handle:
            pids.extend((handle.pid, int(wait_for_text(log))))
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fail_inside()
    assert [wait_until_gone(pid) for pid in pids] == [True, True]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_of_the_runner_reach_the_action(tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "log.txt"
    program = "import time; print('ready', flush=True); time.sleep(60)"
    runner = subprocess.Popen([*python(RUNNER), program, str(log), "10"], stdout=subprocess.PIPE, text=True)
    wait_for_text(log)
    runner.send_signal(number)
    out, _ = runner.communicate(timeout=20)
    code, by = out.splitlines()[-1].split()[1:]
    assert int(by) == number
    assert int(code) in (-number, 1, 130)
    assert "KeyboardInterrupt" in log.read_text() or int(code) == -number


def test_a_second_signal_kills_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    runner = subprocess.Popen([*python(RUNNER), STUBBORN, str(log), "60"], stdout=subprocess.PIPE, text=True)
    wait_for_text(log)
    runner.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert runner.poll() is None
    runner.send_signal(signal.SIGTERM)
    out, _ = runner.communicate(timeout=20)
    assert out.splitlines()[-1] == f"ended {-signal.SIGKILL} {signal.SIGTERM.value}"


def test_the_action_and_its_log_outlive_a_killed_runner(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    program = "import time; print('ready', flush=True); time.sleep(0.5); print('done', flush=True)"
    runner = subprocess.Popen([*python(RUNNER), program, str(log), "10"], stdout=subprocess.PIPE, text=True)
    wait_for_text(log)
    runner.kill()
    out, _ = runner.communicate(timeout=20)
    assert wait_until_gone(int(out.split()[1]))
    assert log.read_text() == "ready\ndone\n"


def test_another_process_can_stop_a_group_it_knows_by_its_start(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    handle = start(python(WITH_CHILD), log)
    child = int(wait_for_text(log))
    assert not stop_group(handle.pid, "boot:1")
    assert is_alive(handle.pid, handle.process_start_time)
    assert stop_group(handle.pid, handle.process_start_time, grace=5)
    assert handle.wait() == -signal.SIGTERM
    assert wait_until_gone(child)
    assert not stop_group(handle.pid, handle.process_start_time)
