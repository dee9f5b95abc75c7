"""Tell a running job's story in status.json: one JSON object a line, appended and flushed as things happen."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

from tao_skill.errors import StorageError

__all__ = ["FollowersLog", "StatusLog", "plain"]


class StatusLog:
    """Append status lines to a file; threads may share one log.

    A line holds ``date`` (month/day/year), ``time`` (hour:minute:second, local), ``status``, ``verbosity``,
    ``message``, and where given ``epoch``, ``step``, ``max_epoch`` and ``kpi``. Values of ``kpi`` stand on the one line
    they are given for. Numbers that aren't finite become null, and the message names them.
    """

    def __init__(self, path: str | Path) -> None:
        """Begin at the end of the file, which is made with its folder if it isn't there.

        Raises:
            StorageError: The file can't be written.
        """
        self.path = Path(path)
        self._lock = Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                # A job that was killed may have left half a line: the next one must not be glued to it.
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":
                        file.write(b"\n")
        except OSError as error:
            raise self._failed(error) from error

    def started(self, message: str) -> None:
        """Say that the action began."""
        self._append("STARTED", "INFO", message)

    def running(
        self,
        message: str,
        *,
        epoch: int | None = None,
        step: int | None = None,
        max_epoch: int | None = None,
        kpi: Mapping[str, Any] | None = None,
    ) -> None:
        """Say how far the action is; epochs count from 0."""
        self._append("RUNNING", "INFO", message, epoch=epoch, step=step, max_epoch=max_epoch, kpi=kpi)

    def success(self, message: str, *, kpi: Mapping[str, Any] | None = None) -> None:
        """Say that the action ended well, with its final numbers."""
        self._append("SUCCESS", "INFO", message, kpi=kpi)

    def failure(self, message: str) -> None:
        """Say that the action failed, and why."""
        self._append("FAILURE", "ERROR", message)

    def skipped(self, message: str) -> None:
        """Say that there was nothing to do."""
        self._append("SKIPPED", "INFO", message)

    def _append(self, status: str, verbosity: str, message: str, **facts: Any) -> None:
        given = {key: value for key, value in facts.items() if value is not None}
        kpi, missing = plain(given.pop("kpi", {}))
        if missing:
            message = f"{message} (not finite: {', '.join(missing)})"
        now = datetime.now().astimezone()
        line = {
            "date": now.strftime("%m/%d/%Y"),
            "time": now.strftime("%H:%M:%S"),
            "status": status,
            "verbosity": verbosity,
            "message": message,
            **plain(given)[0],
            **({"kpi": kpi} if kpi else {}),
        }
        text = json.dumps(line, allow_nan=False) + "\n"
        try:
            with self._lock, self.path.open("a", encoding="utf-8") as file:
                file.write(text)  # opened for this line alone: closing flushes it
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> StorageError:
        return StorageError(
            f"{self.path} can't be written: {error.strerror or error}",
            next_step="free some disk space, or choose another folder with --results-root",
        )


class FollowersLog(StatusLog):
    """The log of a process that trains beside the first, which speaks for all: only its failure is told."""

    def __init__(self, path: str | Path, name: str) -> None:
        super().__init__(path)
        self.name = name

    def failure(self, message: str) -> None:
        """Say which process failed, and why."""
        super()._append("FAILURE", "ERROR", f"{self.name}: {message}")

    def _append(self, status: str, verbosity: str, message: str, **facts: Any) -> None:
        """Leave it to the first process."""


def plain(value: Any, name: str = "") -> tuple[Any, list[str]]:
    """Return a value as plain JSON data, and the names of numbers in it that aren't finite: those become None.

    Takes what ``json`` takes, mappings, lists, tuples, paths, and NumPy or torch scalars and arrays.
    """
    if isinstance(value, Mapping):
        pairs = {str(key): plain(item, f"{name}.{key}" if name else str(key)) for key, item in value.items()}
        return {key: item for key, (item, _) in pairs.items()}, [bad for _, names in pairs.values() for bad in names]
    if isinstance(value, list | tuple):
        items = [plain(item, f"{name}[{place}]") for place, item in enumerate(value)]
        return [item for item, _ in items], [bad for _, names in items for bad in names]
    if hasattr(value, "tolist"):
        return plain(value.tolist(), name)
    if isinstance(value, Path):
        return str(value), []
    if isinstance(value, float) and not math.isfinite(value):
        return None, [name]
    return value, []
