"""How a trial ended: from its worker's answer to its job's record; and what of it stays on the disk."""

from __future__ import annotations

import json
import math
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tao_skill.automl.executor import End
from tao_skill.automl.failure import classify
from tao_skill.automl.history import Failure
from tao_skill.jobs.files import log_tail, read_tail, write_atomically
from tao_skill.jobs.reconcile import LOG_FILE, action_folder, read_object, results_of
from tao_skill.jobs.record import JobStatus, RecordedError
from tao_skill.jobs.store import JobStore
from tao_skill.run.checkpoint_files import RECORD_NAME, find_candidates
from tao_skill.run.record import ERROR_FILE

__all__ = ["checkpoint_bytes", "conclude_trial", "end_of", "forget_checkpoints", "held_value"]

_LOG_LINES = 40


def end_of(
    answer: Mapping[str, Any] | None,
    code: int | None,
    folder: Path,
    *,
    metric: str,
    asked: bool,
    wall: float,
    early: bool = False,
) -> End:
    """Return how a trial ended; ``answer`` is None where its worker died, with exit ``code``.

    ``asked`` says that the search asked it to end, ``early`` that it told fewer epochs than it was to train, or
    nothing at all, ``wall`` how many seconds it took from its start to now.
    """
    size, held = checkpoint_bytes(folder), held_value(folder, metric)
    if answer is None:
        if asked:
            return End("stopped", checkpoint_bytes=size, held_value=held)
        failure = classify(exit_code=code, log=read_tail(folder / LOG_FILE, _LOG_LINES))
        return End("failed", failure, checkpoint_bytes=size, held_value=held)
    overhead = max(0.0, wall - (answer["end"] - answer["begin"]))
    error = read_object(folder / ERROR_FILE)
    if asked and _is_stopped(answer, bool(error), early):
        return End("stopped", overhead=overhead, checkpoint_bytes=size, held_value=held)
    if answer["code"] == 0:
        return End("done", overhead=overhead, checkpoint_bytes=size, held_value=held)
    if answer["how"] == "stopped":
        failure = Failure(kind="infrastructure", message=f"{signal.Signals.SIGINT.name} from elsewhere ended it")
        return End("failed", failure, overhead, size, held)
    failure = classify(
        code=str(error.get("code", "")), message=str(error.get("message", "") or answer.get("error", "")),
        exit_code=answer["code"], log=read_tail(folder / LOG_FILE, _LOG_LINES),
    )  # fmt: skip
    return End("failed", failure, overhead, size, held)


def _is_stopped(answer: Mapping[str, Any], has_error: bool, early: bool) -> bool:
    """Say whether a program that was asked to end did so for that: each has its own exit code for Ctrl-C, 0 as well."""
    if answer["how"] == "stopped":
        return True
    return early if answer["code"] == 0 else not has_error


def conclude_trial(store: JobStore, job_id: str, folder: Path, end: End, reasons: Sequence[str]) -> None:
    """Write into a trial's record how it ended."""
    if store.load(job_id).status == JobStatus.CANCELED:  # by `jobs cancel`, from another process
        return
    if end.state == "done":
        results = results_of(folder)
        store.update(job_id, status=JobStatus.COMPLETE, reason="the trial ended well", exit_code=0, **results)
    elif end.state == "stopped":
        why = reasons[0] if reasons else "asked to"
        # Many a program writes no results where it is stopped; what it reached stands in its checkpoints' record.
        store.update(job_id, status=JobStatus.CANCELED, reason=f"stopped by the search: {why}", **_handed_on(folder))
    else:
        assert end.failure is not None
        error = read_object(folder / ERROR_FILE) or RecordedError(
            code="job_error", message=f"The trial failed ({end.failure.kind}): {end.failure.message}",
            next_step=f"python -m tao_skill jobs logs {job_id}",
        ).model_dump()  # fmt: skip
        store.update(
            job_id, status=JobStatus.ERROR, reason=end.failure.message, error=error,
            log_tail=log_tail(folder / LOG_FILE), **_handed_on(folder),
        )  # fmt: skip


def forget_checkpoints(store: JobStore, job_id: str) -> None:
    """Delete the checkpoints of a trial; its record and its numbers stay."""
    record = store.load(job_id)
    whole = Path(record.results_dir)
    for path in _models(whole):
        if not path.resolve().is_relative_to(whole.resolve()):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for file in whole.rglob("*"):
        if file.is_symlink() and not file.exists():  # to what is gone
            file.unlink()
    folder = action_folder(record)
    document = read_object(folder / RECORD_NAME)
    if document:
        text = json.dumps(document | {"checkpoints": [], "best": "", "latest": ""}, indent=2)
        write_atomically(folder / RECORD_NAME, text + "\n")
    store.update(job_id, checkpoint=None)


def checkpoint_bytes(folder: Path) -> int:
    """Return how much disk a trial's checkpoints take; its action writes into ``folder``, which its job's one holds."""
    files = {
        file
        for path in _models(folder.parent)
        for file in (path.rglob("*") if path.is_dir() else [path])
        if file.is_file() and not file.is_symlink()
    }
    return sum(file.stat().st_size for file in files)


def held_value(folder: Path, metric: str) -> float | None:
    """Return the metric of the checkpoint that a trial hands on, as its program wrote it down; None where it didn't."""
    value = _handed_on(folder)["metrics"].get(metric)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return float(value)


def _models(folder: Path) -> list[Path]:
    """Return the models that a trial left anywhere in its job's folder: other programs write beside the action's."""
    return [folder / candidate.path for candidate in find_candidates(folder)]


def _handed_on(folder: Path) -> dict[str, Any]:
    """Return a trial's best checkpoint with its metrics, by its record of checkpoints or else by its results."""
    document = read_object(folder / RECORD_NAME)
    best = str(document.get("best") or document.get("latest") or "")
    if not best:
        results = results_of(folder)
        return {"checkpoint": results["checkpoint"], "metrics": results["metrics"] if results["checkpoint"] else {}}
    entries = [entry for entry in document.get("checkpoints", []) if isinstance(entry, dict)]
    held = next((entry.get("metrics") for entry in entries if entry.get("file") == best), None)
    metrics = {str(key): value for key, value in (held or {}).items() if isinstance(value, int | float)}
    return {"checkpoint": str(folder / best), "metrics": metrics}
