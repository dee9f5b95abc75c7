"""Find out how a job ended whose runner died before it could write that down."""

import json
import math
import platform
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tao_skill.config import folders
from tao_skill.jobs.files import log_tail, read_tail
from tao_skill.jobs.identity import is_alive, this_process
from tao_skill.jobs.record import JobRecord, JobStatus, RecordedError

STATUS_FILE = "status.json"
RESULTS_FILE = "results.json"
LOG_FILE = "log.txt"


def action_folder(record: JobRecord) -> Path:
    """Return the folder that the job's action writes into."""
    return folders.action_folder(record.action, record.spec, record.results_dir)


def verdict(record: JobRecord) -> dict[str, Any] | None:
    """Return the fields that change, ``status`` and ``reason`` among them; None where the record still holds.

    A job of another machine is left alone, and so is one whose runner lives. An action that goes on without its runner
    gets a warning; one that went on and reported success is COMPLETE.
    """
    if record.status not in (JobStatus.PENDING, JobStatus.RUNNING):
        return None
    elsewhere = record.host not in (None, platform.node()) or record.runner_pid is None
    if elsewhere or is_alive(record.runner_pid, record.runner_start_time):
        return None
    if is_alive(record.pid, record.process_start_time):
        return _orphaned(record)
    folder = action_folder(record)
    if record.pid is None:
        return _failed(record, folder, f"the runner (process {record.runner_pid}) ended before the action started")
    last = _last_status(folder / STATUS_FILE, _running_since(record))
    if last.get("status") == "SUCCESS":
        return {
            "status": JobStatus.COMPLETE,
            "reason": f"the runner (process {record.runner_pid}) died; the action went on and reported success",
            **results_of(folder, record.warnings),
        }
    said = f", and said last: {last['message']}" if last.get("message") else ""
    gone = f"the runner (process {record.runner_pid}) and the action (process {record.pid}) are gone"
    return _failed(record, folder, f"{gone}{said}")


def is_runner(record: JobRecord) -> bool:
    """Say whether this process is the one that the record names as waiting for the job."""
    return all(getattr(record, name) == value for name, value in this_process().items())


def waits_for_this_process(record: JobRecord) -> bool:
    """Say whether this process took a job and has not begun with it."""
    return record.status == JobStatus.PENDING and is_runner(record)


def is_orphaned(record: JobRecord) -> bool:
    """Say whether the record tells of a job that runs on without its runner."""
    return record.status == JobStatus.RUNNING and _orphan_note(record) in record.warnings


def _orphan_note(record: JobRecord) -> str:
    return f"The runner (process {record.runner_pid}) died; the action goes on by itself."


def _orphaned(record: JobRecord) -> dict[str, Any] | None:
    note = _orphan_note(record)
    if note in record.warnings:
        return None
    return {"status": record.status, "reason": note, "warnings": [*record.warnings, note]}


def _failed(record: JobRecord, folder: Path, reason: str) -> dict[str, Any]:
    verb = "resume" if record.action == "train" else "logs"
    next_step = f"python -m tao_skill jobs {verb} {record.job_id}"
    # Nothing was done; and a job that is no search yet must not go on as a plain training.
    if record.pid is None and record.started_at is None:
        next_step = f"the same command again: python -m tao_skill run {record.action}"
    message = f"Job {record.job_id} broke off: {reason}."
    return {
        "status": JobStatus.ERROR,
        "reason": reason,
        "error": RecordedError(code="job_error", message=message, next_step=next_step),
        "log_tail": log_tail(folder / LOG_FILE),
    }


def _running_since(record: JobRecord) -> float:
    """Return when the job last began to run, in seconds since 1970."""
    times = [step.at for step in record.transitions if step.to_status is JobStatus.RUNNING]
    return datetime.fromisoformat(times[-1]).timestamp() if times else 0.0


def _last_status(path: Path, since: float) -> dict[str, Any]:
    """Return the last line of status.json if it was written after ``since``, else {}."""
    try:
        if path.stat().st_mtime < since:
            return {}
    except OSError:
        return {}
    for line in reversed(read_tail(path, lines=3)):
        try:
            document = json.loads(line)
        except ValueError:
            continue
        return document if isinstance(document, dict) else {}
    return {}


def results_of(folder: Path, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Return what a record keeps of the results that an action wrote: metrics, checkpoint, and its warnings.

    ``warnings`` are known already and come first; one that is told twice is kept once.
    """
    results = read_object(folder / RESULTS_FILE)
    metrics, checkpoint, more = results.get("metrics"), results.get("checkpoint"), results.get("warnings")
    found = metrics.items() if isinstance(metrics, dict) else ()
    kept = {str(key): value for key, value in found if isinstance(value, int | float) and math.isfinite(value)}
    told = [*warnings, *(one for one in (more if isinstance(more, list) else []) if isinstance(one, str))]
    return {
        "metrics": kept,
        "checkpoint": checkpoint if isinstance(checkpoint, str) and checkpoint else None,
        "warnings": list(dict.fromkeys(told)),
    }


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, or {} where there is none that can be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
