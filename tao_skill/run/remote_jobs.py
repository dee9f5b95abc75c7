"""The jobs of a remote results root: this machine's own in a local copy, those of others read from there."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tao_skill.errors import JobError, Problem
from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import RECORD_FILE, JobStore

__all__ = ["MirroredJobStore", "refuse_foreign", "remote_folder", "remote_log"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_THREADS = 8


class MirroredJobStore(JobStore):
    """A store whose ``root`` is the local copy of ``uri``.

    In the copy are this machine's own jobs. Records of other jobs are read from ``uri`` each time, and kept nowhere.
    """

    def __init__(self, uri: str, root: Path) -> None:
        super().__init__(root)
        self.uri = uri
        self._others: dict[str, str] = {}

    @property
    def address(self) -> str:
        """The URI of the remote root."""
        return self.uri

    def resolve_id(self, job_id: str) -> str:
        """Return the whole id, after a look at the remote root where the job is not this machine's own."""
        wanted = job_id.strip()
        if _ID.fullmatch(wanted):
            self._look_up(wanted)
        try:
            return super().resolve_id(wanted)
        except JobError:
            self._look_up_all()
            return super().resolve_id(wanted)

    def list(self) -> Sequence[JobRecord]:
        """Return all jobs of the remote root, oldest first, this machine's own among them."""
        self._look_up_all()
        return super().list()

    def reconcile(self, record: JobRecord) -> JobRecord:
        """Return the record as it should be; a job that worked elsewhere is judged, and its record left as it is."""
        return self.judge(record) if self.is_foreign(record.job_id) else super().reconcile(record)

    def is_foreign(self, job_id: str) -> bool:
        """Say whether the job worked elsewhere, so that nothing of it is here."""
        return not (self.folder(job_id) / RECORD_FILE).exists()

    def _look_up_all(self) -> None:
        from concurrent.futures import ThreadPoolExecutor

        from tao_skill.storage.small import list_objects

        names = [one.name.removesuffix(f"/{RECORD_FILE}") for one in list_objects(self.uri)]
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(self._look_up, [name for name in names if _ID.fullmatch(name) and "/" not in name]))

    def _look_up(self, job_id: str) -> None:
        """Read the record of another machine's job, as it is now."""
        if not self.is_foreign(job_id):
            return
        from tao_skill.storage.small import read_bytes

        content = read_bytes(f"{self.uri}/{job_id}/{RECORD_FILE}")
        if content is not None:
            self._others[job_id] = content.decode("utf-8", errors="replace")

    def _ids(self) -> Sequence[str]:
        return sorted({*super()._ids(), *self._others})

    def _place(self, job_id: str) -> str:
        return f"{self.uri}/{job_id}" if self.is_foreign(job_id) else super()._place(job_id)

    def _text(self, job_id: str) -> str:
        other = self._others.get(job_id) if self.is_foreign(job_id) else None
        return super()._text(job_id) if other is None else other

    def _change(self, job_id: str, change: Callable[[JobRecord], dict[str, Any]]) -> JobRecord:
        if self.is_foreign(job_id):
            refuse_foreign(self, self._read(job_id), "changed")
        return super()._change(job_id, change)


def remote_folder(store: JobStore, job_id: str) -> str | None:
    """Return the URI of a job that worked elsewhere; None where its files are on this machine."""
    if isinstance(store, MirroredJobStore) and store.is_foreign(job_id):
        return f"{store.uri}/{job_id}"
    return None


def remote_log(uri: str, lines: int) -> list[str]:
    """Return the last lines of a log on a server; [] where there is none."""
    from tao_skill.storage.small import read_bytes

    text = (read_bytes(uri) or b"").decode("utf-8", errors="replace")
    shown = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return [line for line in shown if line][-lines:] if lines > 0 else []


def refuse_foreign(store: JobStore, record: JobRecord, verb: str) -> None:
    """Raise JobError for what can be done only where a job works."""
    elsewhere = remote_folder(store, record.job_id)
    if elsewhere is not None:
        raise JobError(
            f"Job {record.job_id} worked on {record.host or 'another machine'}; it can be {verb} only there.",
            problems=[Problem("job_id", record.job_id, "a job of this machine")],
            next_step=f"python -m tao_skill run train --parent-job-id {elsewhere} starts anew from its weights",
        )
