"""The files that a search writes into the folder of its job, each whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tao_skill.automl.documents import best_rec, search_report
from tao_skill.automl.history import HISTORY_FILE, SearchHistory
from tao_skill.automl.report_page import render_report
from tao_skill.config.secrets import without_secrets
from tao_skill.config.yaml_text import dump_yaml
from tao_skill.errors import CheckpointError, JobError, Problem
from tao_skill.jobs.files import write_atomically
from tao_skill.jobs.reconcile import action_folder
from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import JobStore
from tao_skill.run.checkpoint_choice import select
from tao_skill.run.parent_job import job_files
from tao_skill.run.search_history import load_history
from tao_skill.run.spec_file import SPEC_FILE

__all__ = [
    "BEST_REC",
    "HISTORY",
    "PAGE",
    "REPORT",
    "best_checkpoint",
    "save_documents",
    "save_history",
    "save_spec",
    "write_report",
]

HISTORY = HISTORY_FILE
BEST_REC = "best_rec.json"
REPORT = "report.json"
PAGE = "report.html"


def save_history(folder: Path, history: SearchHistory) -> None:
    """Write the history."""
    _write(folder / HISTORY, history.model_dump(mode="json"))


def save_spec(folder: Path, spec: Mapping[str, Any]) -> None:
    """Write the spec that all trials have in common, without what is secret in it."""
    _put(folder / SPEC_FILE, dump_yaml(without_secrets(spec)))


def write_report(store: JobStore, record: JobRecord) -> SearchHistory:
    """Write the documents of a search anew, whatever became of it, and return its history.

    Raises:
        JobError: the job is no search, or its history can't be read.
    """
    history = load_history(record)
    if record.ended and history.state == "running":  # it was killed
        history.state, history.end_reason = "interrupted", record.transitions[-1].reason if record.transitions else ""
    save_documents(action_folder(record), history, store)
    return history


def save_documents(folder: Path, history: SearchHistory, store: JobStore, *, importance: bool = True) -> None:
    """Write what is made from the history: best_rec.json, report.json and report.html."""
    found = {trial.number: best_checkpoint(store, trial.job_id) for trial in history.trials if trial.checkpoints_kept}
    checkpoints = {number: path for number, path in found.items() if path}
    _write(folder / BEST_REC, best_rec(history, checkpoints).model_dump(mode="json"))
    report = search_report(history, importance=importance)
    _write(folder / REPORT, report.model_dump(mode="json"))
    _put(folder / PAGE, render_report(report))


def best_checkpoint(store: JobStore, job_id: str) -> str:
    """Return the best checkpoint of a trial; empty where there is none, or where which is best can't be told."""
    if not job_id:
        return ""
    try:
        files = job_files(store.load(job_id))
        return files.place(select(files.candidates, "torch").path)
    except (CheckpointError, JobError):
        return ""


def _write(path: Path, document: dict[str, Any]) -> None:
    _put(path, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _put(path: Path, text: str) -> None:
    try:
        write_atomically(path, text)
    except OSError as error:
        raise JobError(
            f"{path} can't be written: {error.strerror or error}.",
            problems=[Problem(str(path), error.strerror or str(error), "a file in a folder that can be written")],
            next_step="free some disk space, or make the folder writable; then go on with the search",
        ) from error
