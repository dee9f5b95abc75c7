"""One warm worker process, seen from the runner."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from tao_skill.config.secrets import without_model_key
from tao_skill.errors import JobError

__all__ = ["WarmWorker", "Worker"]

_START_SECONDS = 60
_TICK_SECONDS = 0.2


class Worker(Protocol):
    """A worker, here or elsewhere; ``pid`` is None where the process is not of this machine."""

    pid: int | None

    def give(self, task: Mapping[str, Any]) -> None:
        """Hand over a task."""

    def stop(self, task_id: int) -> None:
        """Interrupt a task, as Ctrl-C would."""

    def answer(self) -> dict[str, Any] | None:
        """Return the answer of the task that ended; None while it runs."""

    @property
    def exit_code(self) -> int | None:
        """Return how the worker itself ended; None while it lives."""

    @property
    def waits(self) -> bool:
        """Say whether it has not begun yet, for want of room."""

    def kill(self) -> None:
        """End the worker and all that it started, at once."""


class WarmWorker:
    """Start it, give it tasks one at a time, and look for their answers; ending stdin ends it and its children.

    ``env`` is its environment, of which a language model's key is left out.
    """

    waits = False

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tao_skill.automl.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=errors, env=without_model_key(env), start_new_session=True, text=True, encoding="utf-8",
            )  # fmt: skip
        self.pid: int | None = self._process.pid
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self._await_start(log)

    def _await_start(self, log: Path) -> None:
        end, code = time.monotonic() + _START_SECONDS, None
        while time.monotonic() < end and code is None:
            # One that ended has said before that whether it was ready.
            code = self._process.poll()
            with contextlib.suppress(queue.Empty):
                self._answers.get(timeout=_TICK_SECONDS)
                return
        self.kill()
        why = f"it was not ready after {_START_SECONDS} s" if code is None else f"it ended with exit code {code}"
        raise JobError(f"A worker for trials could not be started: {why}.", next_step=f"look into {log}")

    def give(self, task: Mapping[str, Any]) -> None:
        """Hand over a task; a worker that has died meanwhile is noticed by `exit_code`."""
        self._send(task)

    def stop(self, task_id: int) -> None:
        """Interrupt a task, as Ctrl-C would."""
        self._send({"stop": task_id})

    def answer(self) -> dict[str, Any] | None:
        """Return the answer of the task that ended; None while it runs."""
        try:
            return self._answers.get_nowait()
        except queue.Empty:
            return None

    @property
    def exit_code(self) -> int | None:
        """Return how the worker itself ended; None while it lives."""
        return self._process.poll()

    def kill(self) -> None:
        """End the worker and all that it started, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError, OSError):
            return

    def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self._answers.put(json.loads(line))
        except ValueError:
            return
