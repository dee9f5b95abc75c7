"""A warm worker: one process that runs trial after trial, so that what they import is imported once.

It reads tasks as JSON lines from stdin and answers each with one on stdout. A script or a module runs inside this
process, under the name `__main__`, with its output in the trial's log; a command runs in a process of its own.
``{"stop": id}`` interrupts a task like Ctrl-C does. When stdin ends, the runner is gone, and so are this process and
all its children.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import runpy
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from tao_skill.automl.child import run_command

__all__ = ["main"]

STOPPED = "stopped"
ENDED = "ended"
_INTERRUPTED = 128 + signal.SIGINT
_WAKE_SECONDS = (0.1, 1.0)


class _Worker:
    """Runs one task at a time in the main thread, while another one listens.

    A stop may come at any moment. Only between `_begin` and the program's end is it handed to the program; before, the
    task isn't begun at all, and after, nothing is left to stop: the task ended as it did.
    """

    def __init__(self, tasks: TextIO, answers: TextIO) -> None:
        self._tasks, self._answers = tasks, answers
        self._queue: queue.Queue[dict[str, Any]] = queue.Queue()
        self._lock = threading.Lock()
        self._given: int | None = None  # the task that hasn't ended
        self._runs = self._is_stopped = False

    def run(self) -> None:
        # What a script starts in the background ignores Ctrl-C, and hands that on to its children.
        signal.signal(signal.SIGINT, _pass_over)
        signal.signal(signal.SIGURG, _pass_over)
        threading.Thread(target=self._read, daemon=True).start()
        self._answer({"ready": os.getpid()})
        while True:
            self._answer(self._one(self._queue.get()))

    def _read(self) -> None:
        for line in self._tasks:
            message = json.loads(line)
            if "stop" in message:
                self._stop(message["stop"])
            else:
                with self._lock:
                    self._given, self._is_stopped = message["id"], False
                self._queue.put(message)
        _end_group()

    def _stop(self, task_id: int) -> None:
        with self._lock:
            if self._given != task_id or self._is_stopped:
                return
            self._is_stopped = True
            if self._runs:
                os.kill(os.getpid(), signal.SIGINT)
                for seconds in _WAKE_SECONDS:
                    timer = threading.Timer(seconds, self._wake, [task_id])
                    timer.daemon = True
                    timer.start()

    def _wake(self, task_id: int) -> None:
        """Let the main thread look whether it was interrupted.

        A signal that comes in the moment before it begins to wait, for a sleep or a child, doesn't end the wait, and
        Python would see it only afterwards.
        """
        with self._lock:
            main = threading.main_thread().ident
            if self._given == task_id and self._runs and main is not None:
                signal.pthread_kill(main, signal.SIGURG)

    def _one(self, task: dict[str, Any]) -> dict[str, Any]:
        begin = time.time()
        error = ""
        try:
            with Path(task["log"]).open("ab", buffering=0) as log, _Output(log.fileno()), _names(task):
                code, how = self._execute(task)
        except BaseException as wrong:
            code, how, error = 1, ENDED, f"{type(wrong).__name__}: {wrong}"
            _append(task["log"], traceback.format_exc())
        with self._lock:
            self._given, self._runs = None, False
        return {"id": task["id"], "code": code, "how": how, "error": error, "begin": begin, "end": time.time()}

    def _execute(self, task: dict[str, Any]) -> tuple[int, str]:
        found = None
        with contextlib.suppress(KeyboardInterrupt):
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                if self._begin():
                    found = _run(task)
            finally:
                signal.signal(signal.SIGINT, _pass_over)
        signal.signal(signal.SIGINT, _pass_over)  # a stop may have come in the midst of the line before
        return found or (_INTERRUPTED, STOPPED)

    def _begin(self) -> bool:
        with self._lock:
            self._runs = not self._is_stopped
            return self._runs

    def _answer(self, message: dict[str, Any]) -> None:
        self._answers.write(json.dumps(message) + "\n")
        self._answers.flush()


def _run(task: dict[str, Any]) -> tuple[int, str]:
    """Run a task's program and return its exit code, and whether it ended because it was stopped."""
    if "command" in task:
        code = run_command(task["command"])
        return code, STOPPED if code in (_INTERRUPTED, -signal.SIGINT) else ENDED
    try:
        if "module" in task:
            runpy.run_module(task["module"], run_name="__main__")
        else:
            runpy.run_path(task["script"], run_name="__main__")
    except SystemExit as end:
        code = _exit_code(end)
        return code, STOPPED if code == _INTERRUPTED else ENDED
    return 0, ENDED


@contextlib.contextmanager
def _names(task: dict[str, Any]) -> Iterator[None]:
    """Let a script or a module find its arguments, and what lies beside it, as if Python had been started for it."""
    arguments, path = sys.argv, list(sys.path)
    if "module" in task:
        sys.argv = [task["module"], *task["args"]]
    elif "script" in task:
        sys.argv, sys.path[:0] = [task["script"], *task["args"]], [str(Path(task["script"]).parent)]
    try:
        yield
    finally:
        sys.argv, sys.path[:] = arguments, path


class _Output:
    """Send what this process and its children print to a file, below Python too."""

    def __init__(self, target: int) -> None:
        self._target = target

    def __enter__(self) -> None:
        self._kept = [os.dup(1), os.dup(2)]
        for number in (1, 2):
            os.dup2(self._target, number)

    def __exit__(self, *_: object) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for number, kept in zip((1, 2), self._kept, strict=True):
            os.dup2(kept, number)
            os.close(kept)


def _exit_code(end: SystemExit) -> int:
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code & 0xFF  # as the system does: -1 is 255, and no signal
    sys.stderr.write(f"{end.code}\n")
    return 1


def _pass_over(number: int, frame: FrameType | None) -> None:
    """Take a signal, and do nothing: as Ctrl-C where no task runs, or it has ended."""
    del number, frame


def _append(path: str, text: str) -> None:
    with Path(path).open("a", encoding="utf-8") as log:
        log.write(text)


def _end_group() -> None:
    """End this process and all that it started; it leads a group of its own."""
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def main() -> None:
    """Work until stdin ends."""
    tasks = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with Path(os.devnull).open("r+b") as nothing:
        for number in (0, 1):
            os.dup2(nothing.fileno(), number)
    _Worker(tasks, answers).run()


if __name__ == "__main__":
    main()
