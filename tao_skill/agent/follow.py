"""Tools that look after jobs: where they stand, what they said, what they came to, and their end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel

from tao_skill.agent.answers import Call, FileFact, JobsAnswer, LogsAnswer, ResultAnswer
from tao_skill.agent.desk import Desk
from tao_skill.agent.guard import check_record
from tao_skill.agent.job_facts import job_fact, job_failure, progress_call
from tao_skill.agent.log_piece import cut, read_piece
from tao_skill.agent.requests import CancelRequest, LogsRequest, ResultRequest, StatusRequest
from tao_skill.agent.roots import Roots
from tao_skill.errors import NotAllowedError
from tao_skill.jobs.reconcile import LOG_FILE, action_folder
from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import JobStore
from tao_skill.run.detach import RUNNER_LOG
from tao_skill.run.remote_jobs import remote_folder, remote_log

__all__ = ["cancel", "load_record", "logs", "result", "status", "watch"]

_TAIL_LINES = 20


def status(request: StatusRequest, desk: Desk) -> JobsAnswer:
    """Tell where one job stands, or the newest jobs."""
    store = desk.store(request.results_root)
    if request.job_id is not None:
        record = load_record(store, request.job_id, desk)
        return JobsAnswer(jobs=[job_fact(store, record)], total=1, next_call=progress_call(record))
    roots = desk.roots_at(store)
    records = [record for record in reversed(store.list()) if _is_allowed(store, record, roots)]
    end = request.offset + request.limit
    shown = [_current(store, record) if record.created_at else record for record in records[request.offset : end]]
    start = Call(tool="plan", arguments={"action": "train"}, why="see what a run would do")
    older = Call(tool="status", arguments={"limit": request.limit, "offset": end}, why="see older jobs")
    return JobsAnswer(
        jobs=[job_fact(store, record) for record in shown],
        total=len(records),
        next_call=start if not records else older if len(records) > end else None,
    )


def logs(request: LogsRequest, desk: Desk) -> LogsAnswer:
    """Return a piece of a job's log: its end, what went before a byte, or what comes after one."""
    store = desk.store(request.results_root)
    record = load_record(store, request.job_id, desk)
    elsewhere = remote_folder(store, record.job_id)
    if elsewhere is not None:
        lines = [cut(line) for line in remote_log(f"{elsewhere}/{record.action}/{LOG_FILE}", request.lines)]
        return LogsAnswer(job_id=record.job_id, lines=lines, start=0, end=0, size=0)
    path = action_folder(record) / LOG_FILE
    if not path.is_file():  # the action hasn't begun: what its runner says of data on the way here
        path = store.folder(record.job_id) / RUNNER_LOG
    forward = request.after is not None
    lines, start, end, size = read_piece(path, request)
    known = request.model_dump(exclude_defaults=True, exclude={"before", "after"})
    call = None
    if forward and end < size:
        call = Call(tool="logs", arguments=known | {"after": end}, why="read on")
    elif not forward and start > 0:
        call = Call(tool="logs", arguments=known | {"before": start}, why="what went before")
    return LogsAnswer(job_id=record.job_id, lines=lines, start=start, end=end, size=size, next_call=call)


def result(request: ResultRequest, desk: Desk) -> ResultAnswer:
    """Return how a job ended, its metrics and its files."""
    store = desk.store(request.results_root)
    record = load_record(store, request.job_id, desk)
    elsewhere = remote_folder(store, record.job_id)
    files = sorted(_files_below(Path(record.results_dir)) if elsewhere is None else _files_on_server(elsewhere))
    fact = job_fact(store, record)
    upload = record.upload
    missing = [f"{len(upload.missing)} files are not at {upload.uri} yet"] if upload and upload.missing else []
    return ResultAnswer(
        job_id=record.job_id,
        action=record.action,
        status=str(record.status),
        metrics=record.metrics or fact.progress.metrics,
        checkpoint=record.checkpoint,
        results_dir=elsewhere or record.results_dir,
        files=[FileFact(path=path, bytes=size) for path, size in files[: request.files]],
        total_files=len(files),
        error=fact.error,
        log_tail=[cut(line) for line in record.log_tail[-_TAIL_LINES:]],
        warnings=missing,
        next_call=_after(store, record),
    )


def cancel(request: CancelRequest, desk: Desk) -> JobsAnswer:
    """End a job; one that has ended already is left as it is."""
    from tao_skill.run.cancel import cancel_job

    store = desk.store(request.results_root)
    record = load_record(store, request.job_id, desk)
    if not record.ended:
        record = cancel_job(store, record.job_id)
    return JobsAnswer(jobs=[job_fact(store, record)], total=1, next_call=progress_call(record))


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


def _after(store: JobStore, record: JobRecord) -> Call | None:
    if not record.ended:
        return progress_call(record)
    if (failure := job_failure(store, record)) is not None:
        return failure.next_call
    if record.action == "train" and record.status == "COMPLETE":
        arguments = {"action": "evaluate", "parent_job_id": record.job_id, "skill": record.skill}
        return Call(tool="plan", arguments=arguments, why="evaluate the model on classes it has not seen")
    if record.action == "export" and record.status == "COMPLETE":
        arguments = {"action": "evaluate", "parent_job_id": record.job_id, "skill": record.skill}
        return Call(tool="plan", arguments=arguments, why="see that the exported file recognises as the model did")
    return None


def load_record(store: JobStore, job_id: str, desk: Desk) -> JobRecord:
    """Return the record of a job as it should be.

    Raises:
        JobError: no such job.
        NotAllowedError: its files lie where the call may not reach.
    """
    record = store.load(job_id)
    check_record(store, record, desk.roots_at(store))
    return _current(store, record)


def _current(store: JobStore, record: JobRecord) -> JobRecord:
    """Return a job's record as it should be; that of one that worked on another machine is taken at its word.

    To judge it, the folders it names would be read, and here they are any folders.
    """
    return store.reconcile(record) if remote_folder(store, record.job_id) is None else record


def _is_allowed(store: JobStore, record: JobRecord, roots: Roots) -> bool:
    try:
        check_record(store, record, roots)
    except NotAllowedError:
        return False
    return True


def _files_on_server(uri: str) -> Iterator[tuple[str, int]]:
    from tao_skill.storage.small import list_objects

    for one in list_objects(uri):
        if not any(part.startswith(".") for part in one.name.split("/")):
            yield one.name, one.size or 0


def _files_below(folder: Path) -> Iterator[tuple[str, int]]:
    for place, names, files in os.walk(folder):
        names[:] = [name for name in names if not name.startswith(".")]
        for name in files:
            path = Path(place, name)
            if name.startswith(".") or path.is_symlink():
                continue
            with suppress(FileNotFoundError):  # a running job clears old checkpoints away
                yield str(path.relative_to(folder)), path.stat().st_size
