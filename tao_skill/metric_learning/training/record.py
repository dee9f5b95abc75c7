"""checkpoints.json: what training wrote, so that nobody has to guess from file names."""

import json
import math
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tao_skill.errors import CheckpointError, Problem
from tao_skill.metric_learning.files import replacing

__all__ = ["PER_CLASS_NAME", "RECORD_NAME", "CheckpointEntry", "CheckpointRecord"]

RECORD_NAME = "checkpoints.json"
# The table of classes that belongs to the best checkpoint.
PER_CLASS_NAME = "per_class.csv"
SCHEMA_VERSION = 1
_TIE_BREAKER = "val MAP@R"


@dataclass(frozen=True)
class CheckpointEntry:
    """One file; the epoch, counted from 0, is the one that ended last.

    ``kind`` is periodic, best (the one), or top (one of the best few). ``rejection`` says beyond which distance an
    image counts as unknown, and how that was chosen; None where the epoch wasn't validated.
    """

    file: str
    kind: str
    epoch: int
    step: int
    bytes: int
    metrics: dict[str, float]
    rejection: dict[str, Any] | None = None


@dataclass
class CheckpointRecord:
    """All checkpoints of a training, the newest and the best of them, and the model they belong to."""

    folder: Path
    monitor: str
    mode: str
    model: dict[str, Any]
    transform: dict[str, Any]
    checkpoints: list[CheckpointEntry] = field(default_factory=list)
    latest: str = ""
    best: str = ""

    def add(self, entry: CheckpointEntry) -> None:
        """Note a file that was just written, in place of an older one of that name, and save the record."""
        self.checkpoints = [*(old for old in self.checkpoints if old.file != entry.file), entry]
        if entry.kind == "periodic":
            self.latest = entry.file
        self.save()

    def forget(self, files: list[str]) -> None:
        """Take files out of the record, save it, and only then delete them."""
        self.checkpoints = [entry for entry in self.checkpoints if entry.file not in files]
        self.save()
        for file in files:
            (self.folder / file).unlink(missing_ok=True)

    def worth(self, metrics: Mapping[str, float]) -> tuple[float, float]:
        """Return what ranks checkpoints, larger is better: the monitored metric, then MAP@R; -inf for what is missing.

        MAP@R still tells rankings apart where nearly every nearest reference is right.
        """
        sign = 1 if self.mode == "max" else -1
        monitored = sign * metrics[self.monitor] if self.monitor in metrics else -math.inf
        return monitored, metrics.get(_TIE_BREAKER, -math.inf)

    @property
    def best_entry(self) -> CheckpointEntry | None:
        """Return the best checkpoint, if there is one."""
        return next((entry for entry in self.checkpoints if entry.file == self.best), None)

    @property
    def best_worth(self) -> tuple[float, float]:
        """Return what the best checkpoint is worth; without one, less than anything."""
        return self.worth(self.best_entry.metrics) if self.best_entry is not None else (-math.inf, -math.inf)

    def best_found(self) -> dict[str, Any] | None:
        """Return, for the state of a training, which checkpoint is the best so far; None where there is none."""
        best = self.best_entry
        return None if best is None else {"epoch": best.epoch, "metrics": best.metrics}

    def document(self) -> dict[str, Any]:
        """Return the record as plain data."""
        content = asdict(self)
        del content["folder"]
        return {"schema_version": SCHEMA_VERSION, **content}

    def save(self) -> None:
        """Write checkpoints.json, whole or not at all."""
        text = json.dumps(self.document(), indent=2, allow_nan=False) + "\n"
        with replacing(self.folder / RECORD_NAME) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def take_over(self) -> None:
        """Continue the record that lies in the folder, as far as its files are still there.

        Raises:
            CheckpointError: the record is damaged.
        """
        path = self.folder / RECORD_NAME
        if not path.is_file():
            return
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            entries = [CheckpointEntry(**entry) for entry in content["checkpoints"]]
            latest, best = content["latest"], content["best"]
        except (ValueError, KeyError, TypeError) as error:
            problem = Problem(str(path), "", "a record that training wrote")
            raise CheckpointError(f"{path} is damaged: {error}", problems=[problem]) from error
        self.checkpoints = [entry for entry in entries if (self.folder / entry.file).is_file()]
        names = {entry.file for entry in self.checkpoints}
        self.latest, self.best = (name if name in names else "" for name in (latest, best))

    def bring_best(self, folder: Path, found: Mapping[str, Any] | None) -> str:
        """Bring the best checkpoint of a training that goes on here from another folder, where this one has none.

        ``found`` is what `best_found` returned when the checkpoint to resume was written. Returns a warning where the
        best one is no longer in that folder, else nothing.
        """
        if self.best_entry is not None or not found:
            return ""
        there = replace(self, folder=folder, checkpoints=[])
        with suppress(CheckpointError):
            there.take_over()
        if there.best_found() != found or there.best_entry is None:
            value = found["metrics"].get(self.monitor)
            told = "" if value is None else f" ({self.monitor} {value:.4g})"
            return (
                f"The best checkpoint of the training that is resumed, of epoch {found['epoch']}{told}, is not in "
                f"{folder} any more: the best one is chosen without it."
            )
        for name in (there.best, PER_CLASS_NAME):
            if (folder / name).is_file():
                with replacing(self.folder / name) as temporary:
                    shutil.copyfile(folder / name, temporary)
        self.best = there.best
        self.add(there.best_entry)
        return ""
