"""Know a process again: its id is reused by others, its id together with its start is not."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_AFTER_NAME_STATE = 0
_AFTER_NAME_START = 19


def process_start_time(pid: int) -> str | None:
    """Return a text that only this run of ``pid`` has; None when no such process lives.

    A process that has ended but that nobody has waited for yet counts as gone: in a container without an init it
    may stay so for ever.
    """
    if pid <= 0:
        return None
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _from_ps(pid)
    except OSError:
        return None
    # The name of the program stands in parentheses and may hold anything, spaces and parentheses too.
    fields = stat.rpartition(")")[2].split()
    if fields[_AFTER_NAME_STATE] in ("Z", "X", "x"):
        return None
    return f"{_boot_id()}:{fields[_AFTER_NAME_START]}"


def is_alive(pid: int | None, start_time: str | None) -> bool:
    """Say whether the process that had this id and this start still runs."""
    return pid is not None and start_time is not None and process_start_time(pid) == start_time


def this_process() -> dict[str, Any]:
    """Return the fields of a job record that name the process that waits for the job: this one."""
    pid = os.getpid()
    return {"host": platform.node(), "runner_pid": pid, "runner_start_time": process_start_time(pid)}


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return "boot"


def _from_ps(pid: int) -> str | None:
    """Ask ``ps`` where there is no /proc (macOS)."""
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    state, _, started = answer.stdout.strip().partition(" ")
    return started.strip() or None if state and not state.startswith("Z") else None
