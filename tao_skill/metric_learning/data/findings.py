"""Collect what is wrong with the data, so that it can be told all at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from tao_skill.config.wording import counted
from tao_skill.errors import DataError, Problem

__all__ = ["NAMED_AT_MOST", "Findings"]

#: How many files or classes a list of problems names; the others are counted.
NAMED_AT_MOST = 50


@dataclass
class Findings:
    """Collect problems and warnings over all data sets."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def problem(self, key: str, value: object, expected: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(key, value, expected))

    def raise_if_any(self) -> None:
        """Raise one DataError that holds all problems, if there are any."""
        if self.problems:
            raise DataError(
                f"The data can't be used: {counted(len(self.problems), 'problem')}.",
                problems=self.problems,
                next_step="correct what is listed and give the same command again",
            )
