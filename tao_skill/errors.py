"""The exceptions of the project, one tree.

Each carries a stable ``code`` for machines, an ``exit_code`` for shells, and ``problems``: everything that was found
wrong, each with its key, its value and what was expected, so that one attempt reports them all.

::

    TaoSkillError                       1
    ├── UsageError                      2   the request itself makes no sense (ValueError)
    │   ├── SpecError                   3   a spec or an override is wrong
    │   ├── DataError                   4   images, folders or archives are wrong
    │   ├── CheckpointError             5   a checkpoint can't be found, read or fitted to the model
    │   ├── SkillError                  6   a skill's own files are missing or malformed
    │   ├── StorageError                7   something can't be fetched, extracted or written
    │   ├── NotAllowedError            10   a path or URI lies outside what an agent may reach
    │   └── KeyConflictError           11   an idempotency key names another job already
    ├── NotAvailableError               8   asked for rightly, but this installation or machine can't do it
    ├── JobError                        9   a job failed or can't be found, or its state doesn't allow it
    └── InternalError                  70   a promise of the program to itself was broken (AssertionError)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

__all__ = [
    "CheckpointError",
    "DataError",
    "InternalError",
    "JobError",
    "KeyConflictError",
    "NotAllowedError",
    "NotAvailableError",
    "Problem",
    "SkillError",
    "SpecError",
    "StorageError",
    "TaoSkillError",
    "UsageError",
]


@dataclass(frozen=True)
class Problem:
    """Say what one key held and what was expected of it; ``key`` may also be a file."""

    key: str
    value: Any
    expected: str

    def __str__(self) -> str:
        return f"{self.key} = {self.value!r}: {self.expected}"


class TaoSkillError(Exception):
    """Something went wrong that has no kind of its own; all errors carry their problems and a next step."""

    code = "error"
    exit_code = 1

    def __init__(self, message: str, *, problems: Iterable[Problem] = (), next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.problems = list(problems)
        self.next_step = next_step

    def __str__(self) -> str:
        lines = [self.message, *(f"  - {problem}" for problem in self.problems)]
        if self.next_step:
            lines.append(f"Next: {self.next_step}")
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """Return the error as the plain data that ``--json`` prints."""
        return {
            "code": self.code,
            "message": self.message,
            "problems": [asdict(problem) for problem in self.problems],
            "next_step": self.next_step,
        }


class UsageError(TaoSkillError, ValueError):
    """The request itself makes no sense."""

    code = "usage_error"
    exit_code = 2


class SpecError(UsageError):
    """A spec or an override is wrong."""

    code = "spec_error"
    exit_code = 3


class DataError(UsageError):
    """Images, folders or archives are wrong."""

    code = "data_error"
    exit_code = 4


class CheckpointError(UsageError):
    """A checkpoint can't be found, read or fitted to the model."""

    code = "checkpoint_error"
    exit_code = 5


class SkillError(UsageError):
    """A skill's own files are missing or malformed."""

    code = "skill_error"
    exit_code = 6


class StorageError(UsageError):
    """Something can't be fetched, extracted or written."""

    code = "storage_error"
    exit_code = 7


class NotAllowedError(UsageError):
    """A path or URI lies outside what an agent may reach."""

    code = "not_allowed"
    exit_code = 10


class KeyConflictError(UsageError):
    """An idempotency key names another job already."""

    code = "key_conflict"
    exit_code = 11


class NotAvailableError(TaoSkillError):
    """Asked for rightly, but this installation or machine can't do it."""

    code = "not_available"
    exit_code = 8


class JobError(TaoSkillError):
    """A job failed or can't be found, or its state doesn't allow what is asked."""

    code = "job_error"
    exit_code = 9


class InternalError(TaoSkillError, AssertionError):
    """A promise of the program to itself was broken: please report it."""

    code = "internal_error"
    exit_code = 70
