"""A command as a child of this process, which hands Ctrl-C on to all that the command started, as a terminal does."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from types import FrameType

__all__ = ["run_command"]


def run_command(command: Sequence[str]) -> int:
    """Run a command to its end and return its exit code, below zero the signal that ended it; for the main thread.

    SIGINT goes on to the whole process group where this process leads one: a shell would keep it from the program
    that it waits for.
    """
    child: subprocess.Popen[bytes] | None = None
    asked = sent = False

    def hand_on(number: int, frame: FrameType | None) -> None:
        nonlocal asked, sent
        del number, frame
        asked = True
        # This process is of the group as well, and is told again what it just said.
        if child is not None and not sent:
            sent = True
            _interrupt(child)

    before = signal.signal(signal.SIGINT, hand_on)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        if asked:
            hand_on(signal.SIGINT, None)
        return child.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt(child: subprocess.Popen[bytes]) -> None:
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGINT)
    else:
        child.send_signal(signal.SIGINT)
