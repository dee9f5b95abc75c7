"""`jobs`: what ran, how it went, its log; cancel it, or go on with it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tao_skill.cli.arguments import add_results_root
from tao_skill.cli.next_command import with_results_root
from tao_skill.cli.outcome import Outcome
from tao_skill.cli.run import result_outcome
from tao_skill.errors import StorageError

if TYPE_CHECKING:
    from tao_skill.jobs.record import JobRecord
    from tao_skill.jobs.store import JobStore

__all__ = ["add_to"]

_LOG_LINES = 200
_LISTED = (
    "job_id", "action", "status", "parent_job", "created_at", "finished_at", "results_dir", "checkpoint", "metrics",
)  # fmt: skip

# Left out where a person reads; --json has them.
_LONG = ("schema_version", "spec", "provenance", "command", "process_start_time", "runner_start_time")


def add_to(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("jobs", help="list, show, cancel, upload or resume jobs", parents=parents)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True, dest="verb")
    _add(verbs, parents, "list", "all jobs, oldest first", _list, with_id=False)
    _add(verbs, parents, "show", "the record of a job; with --json the whole of it", _show)
    logs = _add(verbs, parents, "logs", "the end of a job's log", _logs)
    logs.add_argument("--lines", type=_count, default=_LOG_LINES, metavar="N", help=f"how many (default {_LOG_LINES})")
    cancel = _add(verbs, parents, "cancel", "end a job", _cancel)
    cancel.add_argument(
        "--host-gone", action="store_true", help="mark a job of another machine as canceled: that machine is gone"
    )
    _add(verbs, parents, "upload", "bring what is missing of a job's results to a remote results root", _upload)
    _add(verbs, parents, "resume", "go on with a training that broke off, from its newest checkpoint", _resume)


def _add(
    verbs: Any,
    parents: Sequence[argparse.ArgumentParser],
    name: str,
    says: str,
    call: Callable[[argparse.Namespace], Outcome],
    *,
    with_id: bool = True,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=says, description=f"Jobs: {says}.", parents=parents)
    if with_id:
        parser.add_argument("job_id", metavar="JOB", help="id of the job; its start is enough where only one fits")
    add_results_root(parser)
    parser.set_defaults(call=call)
    return parser


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of lines: 1 or more is expected")
    return int(text)


def _store(options: argparse.Namespace) -> JobStore:
    from tao_skill.run.results_root import open_store

    return open_store(options.results_root)


def _current(options: argparse.Namespace) -> tuple[JobStore, JobRecord]:
    """Return the record as it is now: a runner that died is noticed here."""
    store = _store(options)
    return store, store.reconcile(store.load(options.job_id))


def _list(options: argparse.Namespace) -> Outcome:
    store = _store(options)
    records = [store.reconcile(record) if record.created_at else record for record in store.list()]
    listed = [{name: record.document()[name] for name in _LISTED} for record in records]
    lines = [
        f"{record.job_id:<24}{record.action:<16}{record.status:<10}{record.created_at[:19]:<21}{_headline(record)}"
        for record in records
    ]
    text = "\n".join(lines) or f"No jobs below {store.address}."
    return Outcome({"results_root": store.address, "jobs": listed}, text)


def _headline(record: JobRecord) -> str:
    from tao_skill.jobs.reconcile import is_orphaned

    if record.error is not None:
        return record.error.message
    if is_orphaned(record):
        return record.warnings[-1]
    first = [(name, value) for name, value in record.metrics.items() if "Rank 1" in name and value is not None]
    return f"{first[0][0]} {first[0][1]:.4f}" if first else ""


def _show(options: argparse.Namespace) -> Outcome:
    from tao_skill.config.keys import flatten
    from tao_skill.config.yaml_text import dump_yaml

    _, record = _current(options)
    document = record.document()
    short = {name: value for name, value in document.items() if value not in (None, [], {}) and name not in _LONG}
    chosen = {key: value for key, value in flatten(record.spec).items() if record.provenance.get(key) != "template"}
    return Outcome(document, dump_yaml(short | {"settings_that_differ_from_the_template": chosen}))


def _logs(options: argparse.Namespace) -> Outcome:
    from tao_skill.jobs.files import read_tail
    from tao_skill.jobs.reconcile import LOG_FILE, action_folder
    from tao_skill.run.remote_jobs import remote_folder, remote_log

    store, record = _current(options)
    elsewhere = remote_folder(store, record.job_id)
    if elsewhere is None:
        path = str(action_folder(record) / LOG_FILE)
        lines = read_tail(action_folder(record) / LOG_FILE, options.lines)
    else:
        path = f"{elsewhere}/{record.action}/{LOG_FILE}"
        lines = remote_log(path, options.lines)
    return Outcome({"job_id": record.job_id, "log": path, "lines": lines}, "\n".join(lines) or f"{path} is empty.")


def _upload(options: argparse.Namespace) -> Outcome:
    from tao_skill.cli.progress import show_log
    from tao_skill.run.publish import upload_job

    show_log("debug" in options)
    store = _store(options)
    record = upload_job(store, options.job_id)
    upload = record.upload
    document = {"job_id": record.job_id, "upload": upload.model_dump() if upload else None}
    if upload is None or upload.state != "complete":
        missing = len(upload.missing) if upload else 0
        reason = upload.error if upload else ""
        again = with_results_root(f"python -m tao_skill jobs upload {record.job_id}", store.address)
        text = f"error: {missing} files are still missing: {reason}\nNext: {again}"
        return Outcome(document, "", StorageError.exit_code, text)
    return Outcome(document, f"All {upload.files} files of job {record.job_id} are at {upload.uri}.")


def _cancel(options: argparse.Namespace) -> Outcome:
    from tao_skill.run.cancel import cancel_job

    record = cancel_job(_store(options), options.job_id, host_gone=options.host_gone)
    document = {"job_id": record.job_id, "action": record.action, "status": str(record.status)}
    return Outcome(document, f"Job {record.job_id} is {record.status}.")


def _resume(options: argparse.Namespace) -> Outcome:
    from tao_skill.cli.progress import Echo, show_log
    from tao_skill.run.resume import resume_job

    show_log("debug" in options)
    echo = Echo()
    return result_outcome(resume_job(_store(options), options.job_id, echo=echo), echo, options.results_root)
