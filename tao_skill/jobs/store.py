"""All jobs below one results root, each with its record in ``<root>/<job id>/job.json``."""

import difflib
import json
import re
import secrets
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tao_skill.config.folders import at_home, trouble_with_path
from tao_skill.errors import InternalError, JobError, Problem
from tao_skill.jobs.files import write_atomically
from tao_skill.jobs.reconcile import is_runner, verdict
from tao_skill.jobs.record import (
    ENDED,
    LEGAL_TRANSITIONS,
    RECORD_VERSION,
    JobRecord,
    JobStatus,
    RecordedError,
    Transition,
    utc_now,
)

RECORD_FILE = "job.json"
LOCK_FILE = ".job.lock"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_FIXED = {"job_id", "schema_version", "created_at", "updated_at", "transitions", "status"}
_LOCK_SECONDS = 30.0


class _UnwritableError(JobError):
    """The results root can't be written."""


class JobStore:
    """Create, read and change the records below ``root``; safe with several processes and with kill -9."""

    def __init__(self, root: str | Path) -> None:
        self.root = at_home(root).absolute()

    @property
    def address(self) -> str:
        """What `--results-root` calls this place."""
        return str(self.root)

    def new_id(self) -> str:
        """Return a fresh job id: the time (UTC), so that ids sort by age, and six random hex digits."""
        return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"

    def folder(self, job_id: str) -> Path:
        """Return the folder of a job, given its whole id."""
        return self.root / job_id

    def create(self, record: JobRecord, reason: str = "created") -> JobRecord:
        """Write the first record of a job and return it.

        Raises:
            JobError: a job of this name exists, or the results root can't be written.
        """
        folder = self.folder(record.job_id)
        first = Transition(at=record.created_at, from_status=None, to_status=record.status, reason=reason)
        record = record.model_copy(update={"transitions": [first]})
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._locked(record.job_id):
                if (folder / RECORD_FILE).exists():
                    raise JobError(
                        f"There is a job {record.job_id} already.",
                        problems=[Problem("job_id", record.job_id, "an id that no job has")],
                        next_step=f"python -m tao_skill jobs show {record.job_id}",
                    )
                self._write(record)
        except OSError as error:
            raise self._unwritable(error) from error
        return record

    def load(self, job_id: str) -> JobRecord:
        """Return the record of a job; the id may be cut short, or be its random end, where only one job fits.

        Raises:
            JobError: no such job (the nearest are named), several fit, or its record can't be read.
        """
        return self._read(self.resolve_id(job_id))

    def resolve_id(self, job_id: str) -> str:
        """Return the whole id that ``job_id`` stands for; raises as ``load`` does."""
        known = self._ids()
        wanted = job_id.strip()
        if wanted in known:
            return wanted
        fitting = [name for name in known if wanted and (name.startswith(wanted) or _random_part(name, wanted))]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            expected = f"one job; {len(fitting)} fit: {', '.join(fitting[-5:])}"
        else:
            near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.5) or known[-3:]
            expected = f"a job below {self.address}; nearest: {', '.join(near) if near else 'it holds none'}"
        raise JobError(
            f"{'Several jobs fit' if fitting else 'There is no job'} {wanted!r}.",
            problems=[Problem("job_id", job_id, expected)],
            next_step=f"python -m tao_skill jobs list --results-root {shlex.quote(self.address)}",
        )

    def update(
        self,
        job_id: str,
        /,
        *,
        status: JobStatus | str | None = None,
        reason: str = "",
        check: Callable[[JobRecord], object] | None = None,
        **fields: Any,
    ) -> JobRecord:
        """Change fields of a record, and its status where that is legal; return the new record.

        The record is read again under a lock, so two processes that change different fields both prevail. The same
        status again is no transition. Starting a job anew clears how it ended before. ``check`` gets the record under
        the lock; where it raises, nothing is written: so one of several processes takes a job.

        Raises:
            JobError: no such job, or the step from its status to ``status`` is not allowed; or what ``check`` raises.
            InternalError: no such field, or a field that only the store may write.
        """
        wrong = sorted(name for name in fields if name not in JobRecord.model_fields or name in _FIXED)
        if wrong:
            raise InternalError(f"A job record can't take {', '.join(wrong)} from outside.")

        def change(record: JobRecord) -> dict[str, Any]:
            if check is not None:
                check(record)
            step = _step(record, JobStatus(status), reason) if status is not None else {}
            return step | fields

        return self._change(self.resolve_id(job_id), change)

    def judge(self, record: JobRecord) -> JobRecord:
        """Return the record as ``reconcile`` does, and write nothing."""
        changes = _ending(record)
        return JobRecord.model_validate(record.model_dump() | changes) if changes else record

    def reconcile(self, record: JobRecord) -> JobRecord:
        """Return the record as it should be: a job that nobody works on any more is marked so, and why.

        The processes are known by id and start, so an id that another process got means nothing. Where the record
        can't be written, on a full disk or one that may only be read, it stays as it is.
        """
        if verdict(record) is None:
            return record
        try:
            return self._change(record.job_id, _ending)
        except _UnwritableError:
            return self.judge(record)

    def list(self) -> Sequence[JobRecord]:
        """Return all jobs, oldest first; one whose record can't be read comes as UNKNOWN and says why."""
        records = [self._read_or_explain(job_id) for job_id in self._ids()]
        return sorted(records, key=lambda record: (record.created_at, record.job_id))

    def _ids(self) -> Sequence[str]:
        if trouble_with_path(self.root) or not self.root.is_dir():
            return []
        return sorted(
            path.parent.name for path in self.root.glob(f"*/{RECORD_FILE}") if _ID.fullmatch(path.parent.name)
        )

    def _read(self, job_id: str) -> JobRecord:
        try:
            document = json.loads(self._text(job_id))
            version = document.get("schema_version") if isinstance(document, dict) else None
            if isinstance(version, str) and version.partition(".")[0] != RECORD_VERSION.partition(".")[0]:
                raise ValueError(f"schema_version {version}; this program reads {RECORD_VERSION}")
            return JobRecord.model_validate(document)
        except (OSError, ValueError) as error:
            found = _first_line(error)
            place = self._place(job_id)
            raise JobError(
                f"The record of job {job_id} can't be read: {found}.",
                problems=[Problem(f"{place}/{RECORD_FILE}", found, "the record of a job, as this version writes it")],
                next_step=f"look into {place}; its log and results are untouched",
            ) from error

    def _place(self, job_id: str) -> str:
        """Return where a job's record is read from."""
        return str(self.folder(job_id))

    def _text(self, job_id: str) -> str:
        return (self.folder(job_id) / RECORD_FILE).read_text(encoding="utf-8")

    def _read_or_explain(self, job_id: str) -> JobRecord:
        try:
            return self._read(job_id)
        except JobError as error:
            reason = RecordedError.model_validate(error.document())
            return JobRecord(
                job_id=job_id, skill="", action="", status=JobStatus.UNKNOWN, created_at="", updated_at="",
                results_dir=str(self.folder(job_id)), error=reason,
            )  # fmt: skip

    def _change(self, job_id: str, change: Callable[[JobRecord], dict[str, Any]]) -> JobRecord:
        """Read, change and write one record under its lock; nothing is written where nothing changes."""
        try:
            with self._locked(job_id):
                record = self._read(job_id)
                changes = change(record)
                if changes:
                    values = record.model_dump() | changes | {"updated_at": utc_now()}
                    record = JobRecord.model_validate(values)
                    self._write(record)
        except ValidationError as error:
            raise InternalError(f"A job record can't hold this: {_first_line(error)}.") from error
        except OSError as error:
            raise self._unwritable(error) from error
        return record

    def _write(self, record: JobRecord) -> None:
        text = json.dumps(record.document(), indent=2, ensure_ascii=False, allow_nan=False)
        write_atomically(self.folder(record.job_id) / RECORD_FILE, text + "\n")

    @contextmanager
    def _locked(self, job_id: str) -> Iterator[None]:
        from filelock import FileLock, Timeout  # costs 0.1 s to import: only where a record is written

        lock = self.folder(job_id) / LOCK_FILE
        try:
            with FileLock(lock, timeout=_LOCK_SECONDS):
                yield
        except Timeout as error:
            raise JobError(
                f"Another process holds the record of job {job_id} for more than {_LOCK_SECONDS:g} s.",
                problems=[Problem(str(lock), "locked", "a lock that is held for a moment only")],
                next_step="try again; if it stays so, look for a stopped tao_skill process",
            ) from error

    def _unwritable(self, error: OSError) -> JobError:
        return _UnwritableError(
            f"The results root {self.root} can't be written: {error.strerror or error}.",
            problems=[Problem("results_root", str(self.root), "a folder that can be written, with space left")],
            next_step="give another one with --results-root",
        )


def _ending(record: JobRecord) -> dict[str, Any]:
    """Return the changes of a job that nobody works on any more; {} where somebody does, or it has ended."""
    found = verdict(record)
    return {} if found is None else _step(record, found.pop("status"), found.pop("reason")) | found


def _step(record: JobRecord, status: JobStatus, reason: str) -> dict[str, Any]:
    if status == record.status:
        return {}
    if status not in LEGAL_TRANSITIONS[record.status] and not _known_better(record, status):
        allowed = ", ".join(sorted(LEGAL_TRANSITIONS[record.status])) or "nothing: it is final"
        raise JobError(
            f"Job {record.job_id} is {record.status} and can't become {status}.",
            problems=[Problem("status", str(status), f"after {record.status}: {allowed}")],
            next_step=f"python -m tao_skill jobs show {record.job_id}",
        )
    now = utc_now()
    step = Transition(at=now, from_status=record.status, to_status=status, reason=reason)
    changes: dict[str, Any] = {"status": status, "transitions": [*record.transitions, step]}
    if status in ENDED:
        changes["finished_at"] = now
        if status is JobStatus.COMPLETE:
            changes |= {"error": None, "log_tail": []}
    else:
        changes |= {"finished_at": None, "exit_code": None, "error": None, "log_tail": []}
    if status is JobStatus.RUNNING and record.started_at is None:
        changes["started_at"] = now
    return changes


def _known_better(record: JobRecord, status: JobStatus) -> bool:
    """Say whether the job's own runner tells that all went well.

    Who can't see that it lives, in another container of the same name, has taken it for dead.
    """
    return status is JobStatus.COMPLETE and record.status is JobStatus.ERROR and is_runner(record)


def _random_part(name: str, wanted: str) -> bool:
    return len(wanted) >= 3 and name.rpartition("-")[2].startswith(wanted)


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        detail = error.errors(include_url=False)[0]
        return f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
