"""Tell failures of a trial's values from those of its data and those of the machine: only the last are tried again."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from tao_skill.automl.history import Failure, FailureKind

__all__ = ["classify"]

# Codes of this project's errors.
_CERTAIN: dict[str, FailureKind] = {
    "spec_error": "configuration", "usage_error": "configuration", "skill_error": "configuration", "data_error": "data",
}  # fmt: skip
_CONFIGURATION = {"checkpoint_error", "not_available"}
_INFRASTRUCTURE = {"storage_error", "job_error"}
# The first pattern that fits decides: a program that ran out of memory is killed by signals as well.
_PATTERNS: tuple[tuple[FailureKind, str], ...] = (
    ("configuration", r"out of memory|OutOfMemoryError|MemoryError|CUDNN_STATUS_ALLOC_FAILED|can't allocate memory"),
    ("configuration", r"device-side assert"),  # a number out of its range, mostly
    ("configuration", r"diverged|loss is (?:nan|inf)|\bnan loss\b|NaN or Inf"),
    ("infrastructure", r"No space left on device|Input/output error|Stale file handle|Connection (?:reset|refused)"),
    ("infrastructure", r"CUDA error|ECC error|NCCL|driver shutting down|Bus error"),
    ("infrastructure", r"DataLoader worker .* (?:killed|exited unexpectedly)|Too many open files"),
    ("data", r"cannot identify image file|truncated (?:image|file)|UnidentifiedImageError"),
)


def classify(
    *, code: str = "", message: str = "", exit_code: int | None = None, log: Sequence[str] = (), timed_out: bool = False
) -> Failure:
    """Return what a trial failed of.

    ``code`` and ``message`` are those of the error that it left, if any; ``exit_code`` below zero is a signal;
    ``log`` holds the last lines of its output.
    """
    said = message or _last_line(log) or "it left no message"
    if timed_out:
        return Failure(kind="configuration", message="it took longer than automl_trial_timeout_minutes")
    if code in _CERTAIN:
        return Failure(kind=_CERTAIN[code], message=said)
    text = "\n".join([message, *log])
    for kind, pattern in _PATTERNS:
        if re.search(pattern, text, re.IGNORECASE):
            return Failure(kind=kind, message=said)
    if code in _INFRASTRUCTURE:
        return Failure(kind="infrastructure", message=said)
    if code not in _CONFIGURATION and exit_code is not None and exit_code < 0:
        hint = " (memory may have run out)" if -exit_code == signal.SIGKILL else ""
        return Failure(kind="infrastructure", message=f"{_signal_name(-exit_code)} ended it{hint}: {said}")
    return Failure(kind="configuration", message=said)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(log: Sequence[str]) -> str:
    return next((line.strip() for line in reversed(log) if line.strip()), "")
