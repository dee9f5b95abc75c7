"""Carry out one job in a process of its own; started by the tools, with the job on its standard input."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any

from tao_skill.cli.progress import show_log
from tao_skill.errors import InternalError, TaoSkillError

__all__ = ["main"]


def main() -> int:
    """Read the message, claim the job, run it; return an exit code that nobody waits for."""
    from tao_skill.run.detach import CLAIMED, claim
    from tao_skill.run.results_root import open_store

    message = json.loads(sys.stdin.read())
    store = open_store(message["results_root"])
    try:
        claimed = claim(store, message["job_id"], message["attempt"])
    except TaoSkillError as error:  # whoever asked reads the end of this log
        print(f"error: {error}", file=sys.stderr)
        return 1
    # Whoever asked may be gone already, and soon will be: from then on everything goes to the log.
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), f"{CLAIMED if claimed else 'taken'}\n".encode())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    if not claimed:
        return 0
    show_log(debug=False)
    try:
        _carry_out(message)
    except BaseException as error:
        _record(message, error)
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _carry_out(message: dict[str, Any]) -> None:
    from tao_skill.run.request import RunRequest
    from tao_skill.run.results_root import open_store
    from tao_skill.run.resume import resume_job
    from tao_skill.run.runner import run

    if message["request"] is None:
        resume_job(open_store(message["results_root"]), message["job_id"], message.get("changes"))
    else:
        run(RunRequest.model_validate(message["request"]), job_id=message["job_id"])


def _record(message: dict[str, Any], error: BaseException) -> None:
    """Write down why the job did not start, unless its record tells an end already."""
    from tao_skill.jobs.record import JobStatus
    from tao_skill.run.results_root import open_store

    known = error if isinstance(error, TaoSkillError) else InternalError(f"{type(error).__name__}: {error}")
    store = open_store(message["results_root"])
    record = store.load(message["job_id"])
    mine = record.runner_pid == os.getpid()  # another process may have the job by now
    if mine and record.status in (JobStatus.PENDING, JobStatus.RUNNING):
        store.update(record.job_id, status=JobStatus.ERROR, reason=known.message, error=known.document())


if __name__ == "__main__":
    sys.exit(main())
