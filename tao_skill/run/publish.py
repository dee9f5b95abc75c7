"""Bring the results of a job to a remote results root: while it works, when it ends, and later if that broke off."""

from __future__ import annotations

import logging
import os
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tao_skill.errors import JobError, Problem, TaoSkillError
from tao_skill.jobs.reconcile import action_folder
from tao_skill.jobs.record import JobRecord, UploadState
from tao_skill.jobs.store import RECORD_FILE, JobStore
from tao_skill.run.detach import RUNNER_LOG
from tao_skill.run.remote_jobs import MirroredJobStore, refuse_foreign
from tao_skill.run.skill_of_job import skill_of
from tao_skill.storage.objects import SilentError, UnreachableError
from tao_skill.storage.upload import FolderUpload, Uploaded

__all__ = ["finish", "folder_upload", "keeping_up", "leave", "publishing", "synced", "upload_job"]

INTERVAL_VARIABLE = "TAO_SKILL_UPLOAD_SECONDS"
_DEFAULT_INTERVAL = 15.0
_WAITS = (0.0, 2.0, 5.0)
# The record says what was sent, and the log of a detached job's process tells of it: both change while the rest goes.
_LAST = (RECORD_FILE, RUNNER_LOG)

_log = logging.getLogger(__name__)


@contextmanager
def publishing(store: JobStore, record: JobRecord, excludes: Sequence[str]) -> Iterator[None]:
    """Upload a job's files from time to time while the block runs, and all of them after it, however it ends.

    Nothing is raised for a server that fails: the files stay here and the record says what is missing.
    """
    if not isinstance(store, MirroredJobStore):
        yield
        return
    uri = f"{store.uri}/{record.job_id}"
    store.update(record.job_id, upload=UploadState(uri=uri, state="running", excluded=list(excludes)).model_dump())
    upload = folder_upload(store, record, excludes)
    try:
        with keeping_up(lambda: synced(upload).error, "results"):
            yield
    finally:
        finish(store, record.job_id, upload, list(excludes))


@contextmanager
def keeping_up(sync: Callable[[], str], what: str) -> Iterator[None]:
    """Call ``sync`` from time to time while the block runs; it returns why it failed, if it did, which is told once."""
    stop = threading.Event()
    thread = threading.Thread(target=_keep_up, args=(sync, what, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def synced(upload: FolderUpload) -> Uploaded:
    """Upload what is new; the outcome says why that failed, if it did."""
    try:
        return upload.sync()
    except TaoSkillError as wrong:
        return Uploaded(error=wrong.message)


def upload_job(store: JobStore, job_id: str) -> JobRecord:
    """Upload what is missing of a job that worked here, and return its record.

    Raises:
        JobError: no such job, one that works still, or a results root that is not remote.
    """
    record = store.reconcile(store.load(job_id))
    if not isinstance(store, MirroredJobStore):
        raise JobError(
            f"The results of job {record.job_id} are in {record.results_dir}: there is no server to upload them to.",
            problems=[Problem("--results-root", str(store.root), "a remote root, such as s3://bucket/results")],
            next_step=f"python -m tao_skill jobs upload {record.job_id} --results-root s3://bucket/results",
        )
    refuse_foreign(store, record, "uploaded")
    if not record.ended:
        raise JobError(
            f"Job {record.job_id} is {record.status}: its runner uploads its results.",
            problems=[Problem("job_id", record.job_id, "a job that has ended")],
            next_step=f"python -m tao_skill jobs show {record.job_id}",
        )
    patterns = record.upload.excluded if record.upload else _excludes(record)
    finish(store, record.job_id, folder_upload(store, record, patterns), patterns)
    return store.load(record.job_id)


def _excludes(record: JobRecord) -> list[str]:
    """Return what the skill of a job that was never uploaded keeps here."""
    fact = skill_of(record).info.actions.get(record.action)
    return [] if fact is None else fact.upload_excludes


def folder_upload(store: MirroredJobStore, record: JobRecord, excludes: Sequence[str]) -> FolderUpload:
    """Return what uploads a job's files, all of them or, with ``excludes``, not those of these patterns."""
    folder, works_in = store.folder(record.job_id), action_folder(record)
    roots = [(folder, "")]
    if not works_in.is_relative_to(folder):
        roots.append((works_in, record.action))
    return FolderUpload(roots, f"{store.uri}/{record.job_id}", excludes)


def finish(store: MirroredJobStore, job_id: str, upload: FolderUpload, excludes: list[str]) -> UnreachableError | None:
    """Upload the rest, then the record, which says so; return why the server can't be reached, if it can't.

    One that took the record and is too slow for a large file can be reached.
    """
    outcome = _but_the_last(_patiently(upload, held_back=_LAST))
    _note(store, job_id, upload.uri, outcome, excludes)
    last = _patiently(upload)
    if outcome.missing and not last.error:
        # What the first attempts left is there now, and so is a record that says it isn't.
        outcome = _but_the_last(last)
        _note(store, job_id, upload.uri, outcome, excludes)
        last = _patiently(upload)
    if last.error and (not outcome.error or RECORD_FILE in last.missing):
        outcome = last
        _note(store, job_id, upload.uri, outcome, excludes)
    _tell(store, job_id, upload.uri, outcome)
    return last.unreachable if RECORD_FILE in last.missing else None


def _but_the_last(outcome: Uploaded) -> Uploaded:
    outcome.missing = [name for name in outcome.missing if name not in _LAST]
    return outcome


def leave(
    store: MirroredJobStore, job_id: str, upload: FolderUpload, excludes: list[str], unreachable: UnreachableError
) -> None:
    """Write down what is missing of a job, and try nothing: the server couldn't be reached a moment ago."""
    outcome = upload.untried(unreachable)
    if outcome.missing:
        _note(store, job_id, upload.uri, outcome, excludes)
    _tell(store, job_id, upload.uri, outcome)


def _keep_up(sync: Callable[[], str], what: str, stop: threading.Event) -> None:
    told = ""
    while True:
        error = sync()
        if error and error != told:
            _log.warning("Uploading %s fails for now and will be tried again: %s", what, error)
        told = error
        if stop.wait(_upload_interval()):
            return


def _note(store: MirroredJobStore, job_id: str, uri: str, outcome: Uploaded, excludes: list[str]) -> None:
    state = UploadState(
        uri=uri,
        state="incomplete" if outcome.missing else "complete",
        files=outcome.files,
        bytes=outcome.bytes,
        missing=outcome.missing,
        error=outcome.error,
        excluded=excludes,
    )
    store.update(job_id, upload=state.model_dump())


def _tell(store: MirroredJobStore, job_id: str, uri: str, outcome: Uploaded) -> None:
    if outcome.missing:
        again = f"python -m tao_skill jobs upload {job_id} --results-root {shlex.quote(store.uri)}"
        _log.warning("Not all results are at %s: %s Finish with: %s", uri, outcome.error, again)
    else:
        _log.info("results are at %s", uri)


def _patiently(upload: FolderUpload, held_back: Sequence[str] = ()) -> Uploaded:
    outcome = Uploaded()
    for pause in _WAITS:
        time.sleep(pause)
        outcome = upload.sync(final=True, held_back=held_back)
        # One that refuses may be starting anew; one that is silent has had all the time it gets.
        if not outcome.error or isinstance(outcome.unreachable, SilentError):
            break
    return outcome


def _upload_interval() -> float:
    """Return the seconds between two looks at what is new."""
    try:
        return max(0.1, float(os.environ.get(INTERVAL_VARIABLE, "")))
    except ValueError:
        return _DEFAULT_INTERVAL
