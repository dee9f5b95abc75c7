"""A warm worker: one process that runs trial after trial, so that what they import is imported once.

It reads tasks as JSON lines from stdin and answers each with one on stdout. A script or a module runs inside this
process, under the name `__main__`, with its output in the trial's log; a command runs in a process of its own.
``{"stop": id}`` interrupts a task like Ctrl-C does. When stdin ends, the runner is gone, and so are this process and
all its children.
"""

from __future__ import annotations

import json
import os
import queue
import runpy
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

__all__ = ["main"]

STOPPED = "stopped"
ENDED = "ended"


class _Worker:
    def __init__(self, tasks: TextIO, answers: TextIO) -> None:
        self._tasks, self._answers = tasks, answers
        self._queue: queue.Queue[dict[str, Any]] = queue.Queue()
        self._lock = threading.Lock()
        self._current: int | None = None
        self._child: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        # What a script starts in the background ignores Ctrl-C, and hands that on to its children.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=self._read, daemon=True).start()
        self._answer({"ready": os.getpid()})
        while True:
            try:
                task = self._queue.get()
                self._answer(self._one(task))
            except KeyboardInterrupt:
                continue  # came a moment too late: the task had ended

    def _read(self) -> None:
        for line in self._tasks:
            message = json.loads(line)
            if "stop" in message:
                self._stop(message["stop"])
            else:
                self._queue.put(message)
        _end_group()

    def _stop(self, task_id: int) -> None:
        with self._lock:
            if self._current != task_id:
                return
            if self._child is not None:
                self._child.send_signal(signal.SIGINT)
            else:
                os.kill(os.getpid(), signal.SIGINT)

    def _one(self, task: dict[str, Any]) -> dict[str, Any]:
        begin = time.time()
        error = ""
        try:
            with Path(task["log"]).open("ab", buffering=0) as log, _Output(log.fileno()):
                with self._lock:
                    self._current = task["id"]
                code, how = self._execute(task)
        except KeyboardInterrupt:
            code, how = 130, STOPPED
        except BaseException as wrong:
            code, how, error = 1, ENDED, f"{type(wrong).__name__}: {wrong}"
            _append(task["log"], traceback.format_exc())
        with self._lock:
            self._current = None
            self._child = None
        return {"id": task["id"], "code": code, "how": how, "error": error, "begin": begin, "end": time.time()}

    def _execute(self, task: dict[str, Any]) -> tuple[int, str]:
        if "command" in task:
            return self._command(task["command"])
        arguments, path = sys.argv, list(sys.path)
        try:
            if "module" in task:
                sys.argv = [task["module"], *task["args"]]
                runpy.run_module(task["module"], run_name="__main__")
            else:
                sys.argv, sys.path[:0] = [task["script"], *task["args"]], [str(Path(task["script"]).parent)]
                runpy.run_path(task["script"], run_name="__main__")
        except SystemExit as end:
            code = _exit_code(end)
            return code, STOPPED if code == 130 else ENDED
        finally:
            sys.argv, sys.path[:] = arguments, path
            sys.stdout.flush()
            sys.stderr.flush()
        return 0, ENDED

    def _command(self, command: list[str]) -> tuple[int, str]:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        with self._lock:
            self._child = child
        code = child.wait()
        stopped = code in (130, -signal.SIGINT)
        return code, STOPPED if stopped else ENDED

    def _answer(self, message: dict[str, Any]) -> None:
        self._answers.write(json.dumps(message) + "\n")
        self._answers.flush()


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
        return end.code
    sys.stderr.write(f"{end.code}\n")
    return 1


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
