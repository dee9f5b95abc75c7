"""Read how a trial is doing from what its program leaves: status.json, results.json, or its log."""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tao_skill.jobs.files import read_tail
from tao_skill.jobs.reconcile import LOG_FILE, RESULTS_FILE, STATUS_FILE, read_object

__all__ = ["EpochCost", "ReportReader", "epoch_cost"]

_HEAD_BYTES = 256
# So many of them show what a program reports.
_VALIDATIONS = 2


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


@dataclass
class _Followed:
    """How far a file was read that another program writes; ``told`` counts the reports in what was read.

    ``head`` is how the file began: it begins otherwise where a program made it anew.
    """

    offset: int = 0
    head: bytes = b""
    told: int = 0

    def rest(self, place: Path) -> bytes:
        """Return the whole lines that were written since the last call, of a new file all.

        Raises:
            OSError: there is no such file, or it can't be read.
        """
        with place.open("rb") as file:
            begins_as_before = file.read(len(self.head)) == self.head
            if not begins_as_before or file.seek(0, os.SEEK_END) < self.offset:
                self.offset, self.head, self.told = 0, b"", 0
            file.seek(self.offset)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self.head = self.head or whole[:_HEAD_BYTES]
        self.offset += len(whole)
        return whole


class ReportReader:
    """Follows one trial's status.json in ``folder``, where its action writes.

    It begins at the start of the file: what a trial reported before a kill is told again. So does it with a file that a
    program began anew: what that says replaces what was told of the same epochs. ``monitored`` is the metric that the
    skill says it validates by, which need not be the one asked for.
    """

    def __init__(self, folder: Path, metric: str, epochs: int, monitored: str = "") -> None:
        # Other programs write into the job's folder itself.
        self._places = {place: _Followed() for place in (folder / STATUS_FILE, folder.parent / STATUS_FILE)}
        self._folder, self._metric, self._epochs, self._monitored = folder, metric, epochs, monitored
        self._has_told = False
        self._others: Counter[str] = Counter()

    def new(self) -> list[tuple[int, float | None]]:
        """Return the values that were reported since the last call, with their epochs, counted from 1."""
        found = [report for place, followed in self._places.items() for report in self._read(place, followed)]
        self._has_told = self._has_told or bool(found)
        return found

    def last(self) -> list[tuple[int, float | None]]:
        """Return what a program that ended well reported elsewhere, where it told nothing in status.json."""
        if self._has_told:
            return []
        found = self._from_results() or self._from_log()
        self._has_told = bool(found)
        return found

    def instead(self, *, ended: bool) -> list[str] | None:
        """Return what a program reports, the likeliest first, where that isn't the metric; None where it may be yet.

        It is certain once a program ``ended`` well without it, and as good as certain where two validations told
        another metric of nearly its name.
        """
        seen = ended or self._others[self._monitored] >= _VALIDATIONS
        if self._has_told or not seen:
            return None
        near = difflib.get_close_matches(self._metric.lower(), [name.lower() for name in self._others])
        if not near and not ended:
            return None
        return sorted(self._others, key=lambda name: near.index(name.lower()) if name.lower() in near else len(near))

    def _read(self, place: Path, followed: _Followed) -> Iterator[tuple[int, float | None]]:
        try:
            lines = followed.rest(place).splitlines()
        except OSError:
            return
        for line in lines:
            if (report := self._from_line(line, followed.told + 1)) is not None:
                followed.told += 1
                yield report

    def _from_line(self, line: bytes, number: int) -> tuple[int, float | None] | None:
        """Return the report in a line, if it is one; one that doesn't name its epoch is that of epoch ``number``."""
        try:
            document = json.loads(line)
        except ValueError:
            return None
        kpi = document.get("kpi") if isinstance(document, dict) else None
        # The last line repeats the final numbers and belongs to no epoch.
        if not isinstance(kpi, dict) or document.get("status") == "SUCCESS":
            return None
        if self._metric not in kpi:
            self._others.update(_numbers(kpi))
            return None
        epoch = document.get("epoch")
        counted = epoch + 1 if isinstance(epoch, int) and not isinstance(epoch, bool) else number
        return counted, _finite(kpi[self._metric])

    def _from_results(self) -> list[tuple[int, float | None]]:
        for name in (RESULTS_FILE, "metrics.json"):
            for folder in (self._folder, self._folder.parent):
                document = read_object(folder / name)
                held = document.get("metrics")
                metrics = held if isinstance(held, dict) else document
                value = metrics.get(self._metric)
                if _is_number(value):
                    return [(self._epochs, _finite(value))]
                self._others.update(_numbers(metrics))
        return []

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


def _numbers(document: Mapping[str, Any]) -> list[str]:
    return [name for name, value in document.items() if _is_number(value)]
