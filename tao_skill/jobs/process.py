"""Run a command in a process group of its own, keep its log, and end the whole group when asked to."""

import codecs
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from tao_skill.errors import InternalError, JobError, NotAvailableError, Problem
from tao_skill.jobs.identity import is_alive, process_start_time
from tao_skill.jobs.signals import SignalForwarder

GRACE_SECONDS = 20.0
_POLL_SECONDS = 0.1
_LEFTOVER_SECONDS = 0.5


class Screen(Protocol):
    """What a log is shown on: a stream of text, or what stands before one."""

    def write(self, text: str, /) -> int:
        """Show a piece of the log."""

    def flush(self) -> None:
        """Bring what was written to whoever reads."""


class ProcessHandle:
    """A started command: ``pid`` is its process group too, ``process_start_time`` tells it from later users of it.

    As a context manager it leaves no process behind, whatever is raised inside.
    """

    def __init__(
        self,
        command: Sequence[str],
        log_path: Path,
        env: Mapping[str, str] | None,
        grace: float,
        handed_on: Sequence[int] = (),
    ) -> None:
        self.command = list(command)
        self.log_path = log_path
        self._grace = grace
        self._kill_at: float | None = None
        self._forwarder = SignalForwarder(self._forward)
        self._pump: threading.Thread | None = None
        self._pumping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._finished = False
        self._forwarder.install()
        try:
            self._process = _open(self.command, log_path, env, handed_on)
        except BaseException:
            self._forwarder.restore()
            raise
        self.pid = self._process.pid
        self.process_start_time = process_start_time(self.pid)
        if self._forwarder.received and self._kill_at is None:
            self._forward(self._forwarder.received[0])

    @property
    def interrupted_by(self) -> int | None:
        """Return the first signal that was handed on to the command, or None: then the job was not canceled here."""
        return self._forwarder.received[0] if self._forwarder.received else None

    def wait(self) -> int:
        """Wait for the end and return the exit code; below zero: killed by that signal.

        SIGINT and SIGTERM meant for this process go to the group; after the grace period, or at the second signal,
        it is killed. What the command left running in its group is ended too.
        """
        process = self._process
        if process is None:
            raise InternalError("A process that never started can't be waited for.")
        while (code := process.poll()) is None:
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                _signal_group(self.pid, signal.SIGKILL)
            time.sleep(_POLL_SECONDS)
        self._finish()
        return code

    def terminate(self) -> None:
        """Ask the group to end (SIGTERM); ``wait`` kills it after the grace period."""
        self._forward(signal.SIGTERM)

    def __enter__(self) -> "ProcessHandle":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._finished:
            self.terminate()
            self.wait()

    def echo_to(self, stream: Screen, start: int) -> None:
        """Copy what the log gets from byte ``start`` on to ``stream``, until the command ends."""
        self._pump = threading.Thread(target=_follow, args=(self.log_path, start, stream, self._pumping), daemon=True)
        self._pump.start()

    def _forward(self, number: int) -> None:
        if self._process is None:
            return
        again = self._kill_at is not None
        self._kill_at = time.monotonic() + (0.0 if again else self._grace)
        _signal_group(self._process.pid, number)

    def _finish(self) -> None:
        if self._finished:
            return
        self._finished = True
        _end_leftovers(self.pid)
        self._pumping.set()
        if self._pump is not None:
            self._pump.join(timeout=5)
        self._forwarder.restore()


def start(
    command: Sequence[str],
    log_path: Path,
    env: Mapping[str, str] | None = None,
    echo: Screen | None = None,
    grace: float = GRACE_SECONDS,
    *,
    handed_on: Sequence[int] = (),
) -> ProcessHandle:
    """Start ``command`` in its own session, its output appended to ``log_path`` and copied to ``echo``.

    The command writes the log itself: when this process dies, it goes on and its log with it. ``env`` is the whole
    environment; None means this process's. ``handed_on`` are file descriptors that the command keeps open, as locks
    on what it uses.

    Raises:
        JobError: the program can't be started or the log can't be written.
    """
    begin = log_path.stat().st_size if log_path.exists() else 0
    handle = ProcessHandle(command, log_path, env, grace, handed_on)
    if echo is not None:
        handle.echo_to(echo, begin)
    return handle


def may_stop(pid: int, start_time: str | None) -> bool:
    """Say whether this user may signal a job's process group; one that is gone needs no signal."""
    if not is_alive(pid, start_time):
        return True
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        pass
    except PermissionError:
        return False
    return True


def stop_group(pid: int, start_time: str | None, grace: float = GRACE_SECONDS) -> bool:
    """End the process group of a job that another process started: SIGTERM, then SIGKILL after ``grace`` seconds.

    Return False, and touch nothing, where the process with that id is not the one that started at ``start_time``.
    """
    if not is_alive(pid, start_time):
        return False
    _signal_group(pid, signal.SIGTERM)
    end = time.monotonic() + grace
    while is_alive(pid, start_time) and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
    if process_start_time(pid) in (None, start_time):
        _signal_group(pid, signal.SIGKILL)
    return True


def _open(
    command: Sequence[str], log_path: Path, env: Mapping[str, str] | None, handed_on: Sequence[int]
) -> subprocess.Popen[bytes]:
    if os.name == "nt":
        raise NotAvailableError("Jobs don't run on Windows itself.", next_step="the same command inside WSL")
    try:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env=None if env is None else dict(env), start_new_session=True, pass_fds=handed_on,
            )  # fmt: skip
    except OSError as error:
        raise JobError(
            f"The action can't be started: {error.strerror or error}.",
            problems=[Problem(str(error.filename or command[0]), list(command), "a program that can be run")],
            next_step="check that file, then run the action again",
        ) from error


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def _end_leftovers(group: int) -> None:
    """End what a process left running in its group: data loaders of a killed trainer, say.

    Helpers that end by themselves get a moment for it. Once the leader is gone, a process that has its id is a
    stranger's, and then so is the group.
    """
    end = time.monotonic() + _LEFTOVER_SECONDS
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return
        time.sleep(_POLL_SECONDS / 2)
    if process_start_time(group) is None:
        _signal_group(group, signal.SIGKILL)


def _follow(path: Path, start: int, stream: Screen, ended: threading.Event) -> None:
    """Copy what ``path`` gets to ``stream`` until ``ended``; a stream that breaks ends the copying only."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    try:
        with path.open("rb") as log:
            log.seek(start)
            while True:
                last = ended.is_set()
                if text := decoder.decode(log.read(), final=last):
                    stream.write(text)
                    stream.flush()
                if last:
                    return
                ended.wait(_POLL_SECONDS)
    except (OSError, ValueError):
        return
