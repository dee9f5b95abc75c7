"""Read how a trial is doing from what its program leaves: status.json, results.json, or its log."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tao_skill.jobs.files import read_tail
from tao_skill.jobs.reconcile import LOG_FILE, RESULTS_FILE, STATUS_FILE, read_object

__all__ = ["EpochCost", "ReportReader", "epoch_cost"]


@dataclass(frozen=True)
class EpochCost:
    """What an epoch takes, told by a program after a few steps."""

    seconds_per_step: float
    steps_per_epoch: int
    validation_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """Return the seconds of an epoch with its validation."""
        return self.seconds_per_step * self.steps_per_epoch + self.validation_seconds


def epoch_cost(folder: Path) -> EpochCost | None:
    """Return what status.json in an action's folder says of an epoch's cost; None where it doesn't."""
    for place in (folder / STATUS_FILE, folder.parent / STATUS_FILE):
        for line in place.read_bytes().splitlines() if place.is_file() else ():
            try:
                kpi = json.loads(line).get("kpi") or {}
                told = EpochCost(
                    float(kpi["seconds_per_step"]), int(kpi["steps_per_epoch"]),
                    float(kpi.get("validation_seconds_per_epoch", 0.0)),
                )  # fmt: skip
            except (ValueError, AttributeError, KeyError, TypeError):
                continue
            if math.isfinite(told.seconds):
                return told
    return None


class ReportReader:
    """Follows one trial's status.json in ``folder``, where its action writes.

    It begins at the start of the file: what a trial reported before a kill is told again.
    """

    def __init__(self, folder: Path, metric: str, epochs: int) -> None:
        # Other programs write into the job's folder itself.
        self._places = [folder / STATUS_FILE, folder.parent / STATUS_FILE]
        self._folder, self._metric, self._epochs = folder, metric, epochs
        self._offsets = dict.fromkeys(self._places, 0)
        self._told = 0

    def new(self) -> list[tuple[int, float | None]]:
        """Return the values that were reported since the last call, with their epochs, counted from 1."""
        found = [report for place in self._places for report in self._read(place)]
        self._told += len(found)
        return found

    def last(self) -> list[tuple[int, float | None]]:
        """Return what a program that ended well reported elsewhere, where it told nothing in status.json."""
        if self._told:
            return []
        for name in (RESULTS_FILE, "metrics.json"):
            for folder in (self._folder, self._folder.parent):
                document = read_object(folder / name)
                held = document.get("metrics")
                value = (held if isinstance(held, dict) else document).get(self._metric)
                if _is_number(value):
                    return [(self._epochs, _finite(value))]
        return self._from_log()

    def _read(self, place: Path) -> Iterator[tuple[int, float | None]]:
        try:
            with place.open("rb") as file:
                file.seek(self._offsets[place])
                content = file.read()
        except OSError:
            return
        whole = content[: content.rfind(b"\n") + 1]
        self._offsets[place] += len(whole)
        for line in whole.splitlines():
            yield from self._from_line(line)

    def _from_line(self, line: bytes) -> Iterator[tuple[int, float | None]]:
        try:
            document = json.loads(line)
        except ValueError:
            return
        kpi = document.get("kpi") if isinstance(document, dict) else None
        # The last line repeats the final numbers and belongs to no epoch.
        if not isinstance(kpi, dict) or self._metric not in kpi or document.get("status") == "SUCCESS":
            return
        epoch = document.get("epoch")
        counted = epoch + 1 if isinstance(epoch, int) and not isinstance(epoch, bool) else self._told + 1
        yield counted, _finite(kpi[self._metric])

    def _from_log(self) -> list[tuple[int, float | None]]:
        number = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
        # `best accuracy` is another metric than `accuracy`.
        pattern = re.compile(rf"(?:^|[^\w\s])\s*{re.escape(self._metric)}\s*[:=]\s*{number}")
        found = [match[1] for line in read_tail(self._folder / LOG_FILE, 1000) for match in pattern.finditer(line)]
        return [(self._epochs, float(found[-1]))] if found else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: Any) -> float | None:
    return float(value) if _is_number(value) and math.isfinite(value) else None
