"""Keep the record of a job true while its action runs: before, during, and however it ends."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Any

from tao_skill.bank.skill import Skill
from tao_skill.config.secrets import without_model_key
from tao_skill.errors import InternalError, JobError, TaoSkillError
from tao_skill.jobs.files import log_tail
from tao_skill.jobs.process import Screen, start
from tao_skill.jobs.reconcile import LOG_FILE, action_folder, is_runner, read_object, results_of, waits_for_this_process
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.program import CommandFor, command_of
from tao_skill.run.publish import publishing
from tao_skill.run.spec_file import write_spec
from tao_skill.storage.entry_locks import locks_in_use

__all__ = ["ERROR_FILE", "give_up", "run_recorded"]

ERROR_FILE = "error.json"

_log = logging.getLogger(__name__)


def run_recorded(
    store: JobStore,
    record: JobRecord,
    spec: dict[str, Any],
    *,
    skill: Skill,
    reason: str,
    command_for: CommandFor | None = None,
    echo: Screen | None = None,
) -> JobRecord:
    """Run the action of a record that is already written, and return how it ended.

    Where the results root is remote, the results are uploaded as they appear and at the end, whatever the end.

    ``spec`` has local paths; it goes to a file of the form that the skill declares, which the action reads. ``reason``
    says why the job starts; ``command_for`` gives another command line than the skill's.

    Raises:
        TaoSkillError: the action could not be started; the record says so too.
    """
    fact, command_for = skill.info.actions[record.action], command_for or command_of(skill)
    with publishing(store, record, fact.upload_excludes):
        _run(store, record, spec, reason=reason, command_for=command_for, echo=echo, config_format=fact.spec_format)
    return store.load(record.job_id)


def _run(
    store: JobStore,
    record: JobRecord,
    spec: dict[str, Any],
    *,
    reason: str,
    command_for: CommandFor,
    echo: Screen | None,
    config_format: str,
) -> None:
    try:
        folder, spec_file = _prepare(record, spec, config_format)
        command = list(command_for(record.action, spec_file))
        _refuse_taken(store.load(record.job_id))
        environment = without_model_key(os.environ) | {"PYTHONUNBUFFERED": "1"}
        # Should this process be killed, the action goes on with what was staged for it.
        locks = locks_in_use()
        with start(command, folder / LOG_FILE, env=environment, echo=echo, handed_on=locks) as handle:
            store.update(
                record.job_id, status=JobStatus.RUNNING, reason=reason, check=_refuse_taken, command=command,
                pid=handle.pid, process_start_time=handle.process_start_time,
            )  # fmt: skip
            code = handle.wait()
    except _TakenError:
        return
    except BaseException as error:
        give_up(store, record.job_id, error)
        raise
    _conclude(store, record, folder, code, handle.interrupted_by)


class _TakenError(Exception):
    """The job was canceled, or went over to another process, since this one took it."""


def _refuse_taken(record: JobRecord) -> None:
    if record.status == JobStatus.CANCELED or not is_runner(record):
        raise _TakenError


def _prepare(record: JobRecord, spec: dict[str, Any], config_format: str) -> tuple[Path, Path]:
    """Return the folder that the action works in, and the file of its spec in it."""
    folder = action_folder(record)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ERROR_FILE).unlink(missing_ok=True)
        return folder, write_spec(folder, spec, config_format)
    except OSError as error:
        raise JobError(
            f"The results folder {folder} can't be written: {error.strerror or error}.",
            next_step="give another one with --results-root",
        ) from error


def give_up(store: JobStore, job_id: str, error: BaseException) -> None:
    """Write into the record of a job that did not begin why that is; what goes wrong with that is only logged."""
    canceled = isinstance(error, KeyboardInterrupt)
    known = error if isinstance(error, TaoSkillError) else InternalError(f"{type(error).__name__}: {error}")
    try:
        store.update(
            job_id, status=JobStatus.CANCELED if canceled else JobStatus.ERROR,
            reason="interrupted before the action ended" if canceled else known.message,
            error=None if canceled else known.document(),
        )  # fmt: skip
    except TaoSkillError as second:
        _log.warning("The record of job %s could not be brought up to date: %s", job_id, second.message)


def refuse_canceled(record: JobRecord) -> None:
    """Refuse to go on with a job that this process took, where somebody canceled it meanwhile.

    Raises:
        JobError: it is not this process's any more.
    """
    if not waits_for_this_process(record):
        raise JobError(
            f"Job {record.job_id} is {record.status}: somebody ended it before it went on.",
            next_step=f"python -m tao_skill jobs resume {record.job_id}",
        )


def _conclude(store: JobStore, record: JobRecord, folder: Path, code: int, interrupted_by: int | None) -> None:
    """Write down how the action ended."""
    fields: dict[str, Any] = {"exit_code": code}
    if code == 0:
        fields |= results_of(folder, record.warnings)
    else:
        fields["log_tail"] = log_tail(folder / LOG_FILE)
    try:
        store.update(record.job_id, check=_refuse_taken, **_end_of(record, folder, code, interrupted_by), **fields)
    except _TakenError:
        if is_runner(store.load(record.job_id)):  # by `jobs cancel`, from another process
            store.update(record.job_id, **fields)


def _end_of(record: JobRecord, folder: Path, code: int, interrupted_by: int | None) -> dict[str, Any]:
    """Return the status that an action ended with, and why."""
    if code == 0:
        return {"status": JobStatus.COMPLETE, "reason": "the action ended well"}
    if interrupted_by is not None:
        return {"status": JobStatus.CANCELED, "reason": f"canceled by {signal.Signals(interrupted_by).name}"}
    error = read_object(folder / ERROR_FILE) or _crash(record, code)
    return {"status": JobStatus.ERROR, "reason": str(error.get("message")), "error": error}


def _crash(record: JobRecord, code: int) -> dict[str, Any]:
    """Return the error of an action that ended without saying why."""
    how = f"with exit code {code}"
    if code < 0:
        names = {one.value: one.name for one in signal.Signals}
        how = f"because {names.get(-code, f'signal {-code}')} killed it"
    if code == -signal.SIGKILL:
        how += " (memory may have run out)"
    verb = "resume" if record.action == "train" else "logs"
    return JobError(f"The action ended {how}.", next_step=f"python -m tao_skill jobs {verb} {record.job_id}").document()
