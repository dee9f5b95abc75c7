"""Signals that end a search."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tao_skill.run.search_job import stop_signals


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_counts_though_its_exception_is_lost() -> None:
    class Cleared:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)

    before = signal.getsignal(signal.SIGTERM)
    with stop_signals() as signaled:
        assert signaled() == ""
        held = Cleared()
        del held
        assert signaled() == "canceled by SIGTERM"
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_signals() as signaled:
            os.kill(os.getpid(), signal.SIGINT)
            assert signaled() == ""
    finally:
        signal.signal(signal.SIGINT, before)
