"""A warm worker, as a real process: whenever a stop comes, each task has its answer, and one that ended has ended."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tao_skill.automl.warm_worker import WarmWorker
from tao_skill.errors import JobError

SECONDS = 10.0


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WarmWorker]:
    monkeypatch.chdir(tmp_path)
    running = WarmWorker(os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}, tmp_path / "workers.log")
    yield running
    running.kill()


def answer(worker: WarmWorker) -> dict[str, Any]:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if (found := worker.answer()) is not None:
            return found
        time.sleep(0.01)
    raise AssertionError("no answer came")


def wait_for(path: Path) -> None:
    end = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.01)


def script(tmp_path: Path, text: str, number: int = 0) -> dict[str, Any]:
    """Return a task that runs a script."""
    path = tmp_path / f"script_{number}.py"
    path.write_text(text)
    return {"id": number, "log": str(tmp_path / "log.txt"), "script": str(path), "args": []}


def test_a_worker_that_dies_at_its_start_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"could not be started: it ended with exit code \d") as caught:
        WarmWorker(os.environ | {"PYTHONHOME": str(tmp_path / "none")}, tmp_path / "workers.log")
    assert "workers.log" in caught.value.next_step
    assert (tmp_path / "workers.log").read_text()


def test_a_stop_that_comes_before_a_task_is_begun_counts(tmp_path: Path, worker: WarmWorker) -> None:
    for number in range(20):
        worker.give(script(tmp_path, "import time; time.sleep(60)", number))
        worker.stop(number)
        found = answer(worker)
        assert (found["id"], found["how"], found["code"]) == (number, "stopped", 130)


def test_a_late_stop_stops_neither_this_task_nor_its_next_turn(tmp_path: Path, worker: WarmWorker) -> None:
    for number in range(30):
        worker.give(script(tmp_path, "", number))
        time.sleep(number / 10_000)  # now a little before its end, now a little after
        worker.stop(number)
        assert answer(worker)["id"] == number
    worker.stop(7)
    worker.give(script(tmp_path, "", 7))
    assert answer(worker)["how"] == "ended"


SLOW_LAST_WORDS = """
import pathlib, sys, time
class Slow:
    def write(self, text): pass
    def flush(self): time.sleep(0.5)
sys.stdout = Slow()
pathlib.Path("ended").touch()
"""


def test_a_stop_after_a_programs_end_leaves_it_as_it_ended(tmp_path: Path, worker: WarmWorker) -> None:
    worker.give(script(tmp_path, SLOW_LAST_WORDS))
    wait_for(tmp_path / "ended")
    time.sleep(0.1)
    worker.stop(0)
    found = answer(worker)
    assert (found["how"], found["code"]) == ("ended", 0)


@pytest.mark.parametrize(
    ("text", "code", "how"),
    [
        ("sys.exit(-1)", 255, "ended"),  # no signal
        ("sys.exit(256)", 0, "ended"),
        ("sys.exit()", 0, "ended"),
        ("sys.exit('no images')", 1, "ended"),
        ("sys.exit(130)", 130, "stopped"),
        ("raise KeyboardInterrupt", 130, "stopped"),
        ("1 / 0", 1, "ended"),
    ],
)
def test_exit_codes_are_those_of_a_process_of_its_own(
    tmp_path: Path, worker: WarmWorker, text: str, code: int, how: str
) -> None:
    worker.give(script(tmp_path, f"import sys; {text}"))
    found = answer(worker)
    assert (found["code"], found["how"]) == (code, how)


SAVES = """
import pathlib, sys, time
pathlib.Path("began").touch()
try:
    time.sleep(60)
except KeyboardInterrupt:
    pathlib.Path("saved").touch()
    sys.exit(1)
"""


def test_what_a_shell_waits_for_is_stopped_too(tmp_path: Path, worker: WarmWorker) -> None:
    (tmp_path / "train.py").write_text(SAVES)
    (tmp_path / "train.sh").write_text(f"{shlex.quote(sys.executable)} train.py\nexit $?\n")
    worker.give({"id": 3, "log": str(tmp_path / "log.txt"), "command": ["bash", "train.sh"]})
    wait_for(tmp_path / "began")
    worker.stop(3)
    assert answer(worker)["code"] in (1, -signal.SIGINT)
    assert (tmp_path / "saved").exists()
    worker.give(script(tmp_path, "", 4))  # and the worker is of use
    assert answer(worker)["code"] == 0


def test_a_commands_own_end_is_told(tmp_path: Path, worker: WarmWorker) -> None:
    for words, code in ((["sh", "-c", "exit 3"], 3), (["sh", "-c", "kill -9 $$"], -9)):
        worker.give({"id": 1, "log": str(tmp_path / "log.txt"), "command": words})
        found = answer(worker)
        assert (found["code"], found["how"]) == (code, "ended")
