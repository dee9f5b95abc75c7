"""Tools that look after jobs: where they stand, what they said, what they came to, and their end."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tao_skill.agent.answers import Call, FileFact, JobFact, JobsAnswer, LogsAnswer, Progress, ResultAnswer
from tao_skill.agent.desk import Desk
from tao_skill.agent.failure import recorded_failure
from tao_skill.agent.guard import check_record
from tao_skill.agent.requests import CancelRequest, LogsRequest, ResultRequest, StatusRequest
from tao_skill.agent.search_progress import search_progress
from tao_skill.errors import NotAllowedError
from tao_skill.jobs.files import read_tail
from tao_skill.jobs.reconcile import LOG_FILE, STATUS_FILE, action_folder
from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import JobStore
from tao_skill.run.detach import RUNNER_LOG

__all__ = ["cancel", "job_fact", "logs", "progress_call", "result", "status", "watch"]

_TAIL_LINES = 20
_LONGEST_LINE = 2000
_PIECE = 64 * 1024
_STATUS_LINES = 30
_LINE = re.compile(rb"[^\n]*\n|[^\n]+\Z")


def status(request: StatusRequest, desk: Desk) -> JobsAnswer:
    """Tell where one job stands, or the newest jobs."""
    store = desk.store(request.results_root)
    if request.job_id is not None:
        record = _load(store, request.job_id, desk)
        return JobsAnswer(jobs=[job_fact(record)], total=1, next_call=progress_call(record))
    records = [record for record in reversed(store.list()) if _is_allowed(record, desk)]
    shown = [store.reconcile(record) if record.created_at else record for record in records[: request.limit]]
    start = Call(tool="plan", arguments={"action": "train"}, why="see what a run would do")
    more = Call(tool="status", arguments={"limit": min(100, 2 * request.limit)}, why="see older jobs")
    return JobsAnswer(
        jobs=[job_fact(record) for record in shown],
        total=len(records),
        next_call=start if not records else more if len(records) > len(shown) else None,
    )


def logs(request: LogsRequest, desk: Desk) -> LogsAnswer:
    """Return a piece of a job's log: its end, what went before a byte, or what comes after one."""
    from tao_skill.run.remote_jobs import remote_folder, remote_log

    store = desk.store(request.results_root)
    record = _load(store, request.job_id, desk)
    elsewhere = remote_folder(store, record.job_id)
    if elsewhere is not None:
        lines = [_cut(line) for line in remote_log(f"{elsewhere}/{record.action}/{LOG_FILE}", request.lines)]
        return LogsAnswer(job_id=record.job_id, lines=lines, start=0, end=0, size=0)
    path = action_folder(record) / LOG_FILE
    if not path.is_file():  # the action hasn't begun: what its runner says of data on the way here
        path = store.folder(record.job_id) / RUNNER_LOG
    forward = request.after is not None
    lines, start, end, size = _piece(path, request)
    known = request.model_dump(exclude_defaults=True, exclude={"before", "after"})
    call = None
    if forward and end < size:
        call = Call(tool="logs", arguments=known | {"after": end}, why="read on")
    elif not forward and start > 0:
        call = Call(tool="logs", arguments=known | {"before": start}, why="what went before")
    return LogsAnswer(job_id=record.job_id, lines=lines, start=start, end=end, size=size, next_call=call)


def result(request: ResultRequest, desk: Desk) -> ResultAnswer:
    """Return how a job ended, its metrics and its files."""
    record = _load(desk.store(request.results_root), request.job_id, desk)
    files, total = _files(Path(record.results_dir), request.files)
    fact = job_fact(record)
    upload = record.upload
    missing = [f"{len(upload.missing)} files are not at {upload.uri} yet"] if upload and upload.missing else []
    return ResultAnswer(
        job_id=record.job_id,
        action=record.action,
        status=str(record.status),
        metrics=record.metrics or fact.progress.metrics,
        checkpoint=record.checkpoint,
        results_dir=record.results_dir,
        files=files,
        total_files=total,
        error=fact.error,
        log_tail=[_cut(line) for line in record.log_tail[-_TAIL_LINES:]],
        warnings=missing,
        next_call=_after(record),
    )


def cancel(request: CancelRequest, desk: Desk) -> JobsAnswer:
    """End a job; one that has ended already is left as it is."""
    from tao_skill.run.cancel import cancel_job

    store = desk.store(request.results_root)
    record = _load(store, request.job_id, desk)
    if not record.ended:
        record = cancel_job(store, record.job_id)
    return JobsAnswer(jobs=[job_fact(record)], total=1, next_call=progress_call(record))


def watch(answer: BaseModel, request: BaseModel, desk: Desk) -> Iterator[JobsAnswer]:
    """Yield the newest status of the job that a call started or asked for, until it ends or `wait_seconds` are over."""
    end = time.monotonic() + getattr(request, "wait_seconds", 0)
    if not isinstance(answer, JobsAnswer) or not hasattr(request, "wait_seconds") or len(answer.jobs) != 1:
        return
    asked = StatusRequest(job_id=answer.jobs[0].job_id, results_root=getattr(request, "results_root", None))
    while not answer.jobs[0].ended and time.monotonic() < end:
        kept = {"started": answer.started, "warnings": answer.warnings}
        answer = status(asked, desk).model_copy(update=kept)
        yield answer


def job_fact(record: JobRecord) -> JobFact:
    """Return what a status says of a job."""
    return JobFact(
        job_id=record.job_id,
        action=record.action,
        status=str(record.status),
        ended=record.ended,
        created_at=record.created_at,
        finished_at=record.finished_at,
        parent_job=record.parent_job,
        progress=_progress(record),
        error=recorded_failure(record.error, record) if record.error is not None else None,
    )


def progress_call(record: JobRecord) -> Call | None:
    """Return the call that follows a job: its status while it runs, then its result."""
    if not record.ended:
        arguments = {"job_id": record.job_id, "wait_seconds": 60}
        return Call(tool="status", arguments=arguments, why="wait for it; ask again until it has ended")
    return Call(tool="result", arguments={"job_id": record.job_id}, why="its metrics, files or error")


def _after(record: JobRecord) -> Call | None:
    if not record.ended:
        return progress_call(record)
    if record.error is not None:
        return recorded_failure(record.error, record).next_call
    if record.action == "train" and record.status == "COMPLETE":
        arguments = {"action": "evaluate", "parent_job_id": record.job_id}
        return Call(tool="plan", arguments=arguments, why="evaluate the model on classes it has not seen")
    if record.action == "export" and record.status == "COMPLETE":
        arguments = {"action": "evaluate", "parent_job_id": record.job_id}
        return Call(tool="plan", arguments=arguments, why="see that the exported file recognises as the model did")
    return None


def _load(store: JobStore, job_id: str, desk: Desk) -> JobRecord:
    record = store.load(job_id)
    check_record(record, desk.roots)
    return store.reconcile(record)


def _is_allowed(record: JobRecord, desk: Desk) -> bool:
    try:
        check_record(record, desk.roots)
    except NotAllowedError:
        return False
    return True


def _progress(record: JobRecord) -> Progress:
    """Read how far an action is from its last status lines."""
    progress = Progress(metrics=record.metrics)
    for line in read_tail(action_folder(record) / STATUS_FILE, _STATUS_LINES):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if not isinstance(said, dict):
            continue
        epoch, most = said.get("epoch"), said.get("max_epoch")
        progress.epoch = epoch if isinstance(epoch, int) else progress.epoch
        progress.max_epoch = most if isinstance(most, int) else progress.max_epoch
        progress.message = _cut(str(said.get("message", progress.message)))
        if not record.metrics and isinstance(said.get("kpi"), dict):
            progress.metrics |= {name: value for name, value in said["kpi"].items() if _is_number(value)}
    progress.search = search_progress(record)
    return progress


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _piece(path: Path, request: LogsRequest) -> tuple[list[str], int, int, int]:
    """Return at most so many whole lines of a log, with the bytes they start and end at, and the log's size."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if request.after is not None:
                start = min(request.after, size)
                file.seek(start)
                raw = file.read(_PIECE)
            else:
                stop = size if request.before is None else min(request.before, size)
                start = max(0, stop - _PIECE)
                file.seek(start)
                raw = file.read(stop - start)
    except OSError:
        return [], 0, 0, 0
    pieces = _LINE.findall(raw)
    if request.after is not None:
        kept = pieces[: request.lines]
        if start + len(raw) < size and len(kept) == len(pieces) > 1 and not kept[-1].endswith(b"\n"):
            kept = kept[:-1]
    else:
        kept = pieces[-request.lines :]
        if start > 0 and len(kept) == len(pieces) > 1:  # its first line may have begun before
            kept = kept[1:]
        start += len(raw) - sum(map(len, kept))
    end = start + sum(map(len, kept))
    return [_shown(piece) for piece in kept], start, end, size


def _shown(piece: bytes) -> str:
    """Return a line as a terminal would show it: of a progress bar its last state."""
    return _cut(piece.decode("utf-8", errors="replace").rstrip("\r\n").rpartition("\r")[2])


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} …"


def _files(folder: Path, most: int) -> tuple[list[FileFact], int]:
    found = sorted(_below(folder))
    return [FileFact(path=path, bytes=size) for path, size in found[:most]], len(found)


def _below(folder: Path) -> Iterator[tuple[str, int]]:
    for place, names, files in os.walk(folder):
        names[:] = [name for name in names if not name.startswith(".")]
        for name in files:
            path = Path(place, name)
            if not name.startswith(".") and not path.is_symlink():
                yield str(path.relative_to(folder)), path.stat().st_size
