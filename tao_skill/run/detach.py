"""Start a job in a process of its own that outlives whoever asked for it, once for each name.

Four files in the job's folder hold this up. `request.json` says what was asked for: it is made exclusively, so that a
name stands for one request. `job.json` is the record. `.claim-<attempt>` is made by the process that does the
work before it does any: of several, one goes on. `runner.log` is what that process says.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from tao_skill.config.secrets import masked_as_given
from tao_skill.errors import JobError, KeyConflictError, Problem
from tao_skill.jobs.files import read_tail
from tao_skill.jobs.identity import is_alive, process_start_time, this_process
from tao_skill.jobs.process import stop_group
from tao_skill.jobs.record import BROKEN_OFF, JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.redaction import redacted
from tao_skill.run.request import RunRequest
from tao_skill.run.search_history import is_search
from tao_skill.run.search_lock import own_search

__all__ = [
    "FIRST",
    "RUNNER_LOG",
    "claim",
    "detach",
    "job_id_of",
    "keep_request",
    "never_began",
    "next_attempt",
    "stop_runner",
]

FIRST = "start"
RUNNER_LOG = "runner.log"
REQUEST_FILE = "request.json"
CLAIMED = "claimed"
_CLAIM = ".claim-"
_BEGIN_SECONDS = 120.0
_WRITING_SECONDS = 2.0


def job_id_of(key: str) -> str:
    """Return the id of the job that an idempotency key names."""
    return f"job-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def keep_request(store: JobStore, job_id: str, request: RunRequest) -> bool:
    """Write down what the job is asked for; return False where the same request is there already.

    Raises:
        KeyConflictError: the name stands for another request.
        JobError: the results root can't be written.
    """
    folder = store.folder(job_id)
    asked = redacted(_without_secrets(request.model_dump(mode="json")))
    text = json.dumps(asked, indent=2, sort_keys=True)
    draft = folder / f".{REQUEST_FILE}.{os.getpid()}.{threading.get_ident()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        try:
            _put_once(draft, folder / REQUEST_FILE)
        except FileExistsError:
            _compare(_kept(folder / REQUEST_FILE), asked)
            return False
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise JobError(
            f"The results root {store.root} can't be written: {error.strerror or error}.",
            problems=[Problem("results_root", str(store.root), "a folder that can be written, with space left")],
            next_step="give another results root",
        ) from error
    return True


def detach(
    store: JobStore,
    record: JobRecord,
    attempt: str,
    request: RunRequest | None,
    *,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Start the process that carries out a job and return as soon as one has claimed the attempt.

    ``request`` None goes on with a job that broke off, a search with ``changes`` of its settings. What may be secret in
    a request goes through a pipe only.

    Raises:
        JobError: no process could be started, or it ended before it claimed the job.
    """
    folder = store.folder(record.job_id)
    message = {
        "results_root": store.address,
        "job_id": record.job_id,
        "attempt": attempt,
        "request": request.model_dump(mode="json") if request is not None else None,
        "changes": dict(changes or {}),
    }
    try:
        with (folder / RUNNER_LOG).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tao_skill.cli.carry_out"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise JobError(f"The job's process can't be started: {error.strerror or error}.") from error
    assert process.stdin is not None
    assert process.stdout is not None
    _send(process.stdin, message)
    with process.stdout as answers:
        said = _first_line(answers)
    late = said is None
    if late:  # nobody would know of what it did later
        stop_group(process.pid, process_start_time(process.pid))
    # Nobody waits for the job, but a process that ended must not stay behind as a zombie.
    threading.Thread(target=process.wait, daemon=True).start()
    if not said:
        tail = " / ".join(read_tail(folder / RUNNER_LOG, 3))
        what = f"did not begin within {_BEGIN_SECONDS:.0f} s" if late else "ended before it began"
        raise JobError(f"The job's process {what}{': ' + tail if tail else ''}.")


def claim(store: JobStore, job_id: str, attempt: str) -> bool:
    """Take an attempt of a job for this process; False where another process has it, or the job has moved on.

    When it returns, the record names the process that has the job.

    Raises:
        JobError: another process works on the search still.
    """
    from filelock import FileLock, Timeout

    folder = store.folder(job_id)
    try:
        held = FileLock(folder / f"{_CLAIM}lock", timeout=_BEGIN_SECONDS).acquire()
    except Timeout as error:
        raise JobError(f"Another process has been taking job {job_id} for {_BEGIN_SECONDS:.0f} s.") from error
    with held:
        record = store.load(job_id)
        known = [file for file in folder.glob(f"{_CLAIM}*") if not file.name.endswith("lock")]
        if known if attempt == FIRST else attempt != next_attempt(record):
            return False
        identity = {"pid": os.getpid(), "start_time": process_start_time(os.getpid())}
        (folder / f"{_CLAIM}{attempt}").write_text(json.dumps(identity), encoding="utf-8")
        if attempt != FIRST and record.status in BROKEN_OFF:
            # Whoever asks from now on is told that it goes on, and can cancel it. A search may still end its trials.
            with own_search(record) if is_search(record) else contextlib.nullcontext():
                store.update(
                    job_id, status=JobStatus.PENDING, reason="a runner has it now", pid=None,
                    process_start_time=None, **this_process(),
                )  # fmt: skip
        if attempt == FIRST:
            record = store.update(job_id, **this_process())
            if record.status == JobStatus.ERROR:  # somebody looked when the process that asked was gone
                store.update(job_id, status=JobStatus.PENDING, reason="a runner has it now")
    return True


def next_attempt(record: JobRecord) -> str:
    """Return the name of the attempt that would go on with a job as it stands."""
    return f"resume-{len(record.transitions)}"


def never_began(store: JobStore, record: JobRecord) -> bool:
    """Say whether a job's first attempt was asked for by a process that died before another took it over."""
    if record.pid is not None or record.status not in (JobStatus.PENDING, JobStatus.ERROR):
        return False
    claimed = (store.folder(record.job_id) / f"{_CLAIM}{FIRST}").exists()
    return not claimed and not is_alive(record.runner_pid, record.runner_start_time)


def stop_runner(store: JobStore, job_id: str, grace: float) -> None:
    """End the detached process of a job, if it lives: for a job whose action hasn't begun."""
    for file in store.folder(job_id).glob(f"{_CLAIM}*"):
        try:
            identity = json.loads(file.read_text(encoding="utf-8"))
            stop_group(int(identity["pid"]), identity["start_time"], grace)
        except (OSError, ValueError, KeyError, TypeError):
            continue


def _without_secrets(asked: dict[str, Any]) -> dict[str, Any]:
    """Mask the secrets in the settings of a request; one that asks for another secret asks for the same job."""
    return asked | {name: masked_as_given(asked[name]) for name in ("overrides", "automl")}


def _put_once(draft: Path, file: Path) -> None:
    """Put a file in its place, whole, where none is; FileExistsError where one is."""
    try:
        os.link(draft, file)
    except FileExistsError:
        raise
    except OSError:  # file systems without links: whoever reads it meanwhile waits until it is whole
        with file.open("x", encoding="utf-8") as made:
            made.write(draft.read_text(encoding="utf-8"))


def _kept(file: Path) -> dict[str, Any]:
    """Return the request that was kept; another process may still write it."""
    end = time.monotonic() + _WRITING_SECONDS
    while True:
        try:
            kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return kept
        except ValueError as error:
            if time.monotonic() > end:
                raise JobError(
                    f"{file} can't be read: {error}.",
                    problems=[Problem(str(file), str(error), "the request of a job, as it was kept")],
                    next_step="ask again with another key",
                ) from error
            time.sleep(0.05)


def _compare(kept: dict[str, Any], asked: dict[str, Any]) -> None:
    different = [name for name in asked if kept.get(name) != asked[name]]
    if different:
        raise KeyConflictError(
            "This name stands for another job already.",
            problems=[Problem(name, asked[name], f"{kept.get(name)!r}, as at first") for name in different],
        )


def _send(pipe: IO[bytes], message: dict[str, Any]) -> None:
    # A process that ended already has said why in its log.
    with contextlib.suppress(BrokenPipeError), pipe:
        pipe.write(json.dumps(message).encode())


def _first_line(answers: IO[bytes]) -> str | None:
    """Return what a process says first, empty where it ended without a word; None where it says nothing for long."""
    ready, _, _ = select.select([answers], [], [], _BEGIN_SECONDS)
    return answers.readline().decode(errors="replace").strip() if ready else None
