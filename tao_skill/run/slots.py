"""Where trials run on this machine: so many slots, each a warm worker process, each trial a job of its own."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tao_skill.automl.executor import End, Progress, Running
from tao_skill.automl.history import Failure, Trial
from tao_skill.automl.warm_worker import WarmWorker, Worker
from tao_skill.config.keys import flatten
from tao_skill.config.secrets import without_secrets
from tao_skill.errors import JobError, Problem, TaoSkillError
from tao_skill.jobs.identity import process_start_time, this_process
from tao_skill.jobs.process import stop_group
from tao_skill.jobs.reconcile import LOG_FILE, action_folder
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.devices import slot_environments
from tao_skill.run.program import Program
from tao_skill.run.redaction import redacted
from tao_skill.run.running_trial import DoneTrial, RunningTrial, Slot, broken
from tao_skill.run.spec_file import write_spec
from tao_skill.run.trial_end import checkpoint_bytes, conclude_trial, forget_checkpoints, held_value
from tao_skill.run.trial_reports import ReportReader
from tao_skill.run.trial_sources import TrialSources, trial_job_id
from tao_skill.run.trial_spec import ACTION, TrialForm, goes_on_from

__all__ = ["LocalSlots"]

_log = logging.getLogger(__name__)
WORKER_LOG = "workers.log"


class LocalSlots:
    """Implements `Executor` with processes of this machine.

    A worker that fails is replaced before the next trial: what it left behind in memory is not trusted.
    """

    def __init__(
        self, form: TrialForm, program: Program, store: JobStore, search: JobRecord, *, metric: str, slots: int
    ) -> None:
        base = flatten(form.base)
        self._form, self._store, self._search = form, store, search
        self._program = program.for_worker(base)
        self.metric = metric
        self._sources, self._running = TrialSources(store, search), set[int]()
        self._slots = [Slot(env) for env in slot_environments(slots, base)]

    @property
    def slots(self) -> int:
        """Return the number of slots."""
        return len(self._slots)

    @property
    def can_go_on(self) -> bool:
        """Say whether a trial that was stopped can train on from its checkpoint."""
        return self._form.can_go_on

    def can_begin_from(self, trial: Trial) -> bool:
        """Say whether another trial can begin from a trial's newest checkpoint, even while that one trains."""
        if trial.number in self._running:
            return self._sources.can_be_copied(trial.number)
        return trial.checkpoints_kept and self._sources.are_there(trial)

    def check(self, values: Mapping[str, Any]) -> Sequence[Problem]:
        """Return what is wrong with values by every rule of the skill."""
        return self._form.problems(values)

    def start(self, trial: Trial) -> Running:
        """Start a trial in a free slot."""
        since = time.monotonic()
        # One with a worker that is warm, where there is one.
        slot = min((one for one in self._slots if not one.busy), key=lambda one: one.worker is None)
        trial.new_worker = trial.new_worker or slot.worker is None or slot.worker.exit_code is not None
        worker = self._worker_of(slot)
        record, folder = self._prepare(trial, worker)
        reader = ReportReader(folder, self.metric, trial.epochs, self._form.skill.metric)
        if record.status == JobStatus.COMPLETE:
            return DoneTrial(reader, folder, self.metric)
        spec_file = folder / f"spec.{self._program.config_format}"
        worker.give({"id": trial.number, "log": str(folder / LOG_FILE), **self.work(spec_file)})
        slot.busy = True
        self._running.add(trial.number)
        return RunningTrial(self, slot, worker, trial, folder, reader, since)

    def work(self, spec_file: Path) -> dict[str, Any]:
        """Return what a worker has to run for a spec."""
        if self._program.script:
            return {"script": self._program.script, "args": self._program.filled(spec_file)}
        return {"command": self._program.command(spec_file)}

    def new_worker(self, env: Mapping[str, str], log: Path) -> Worker:
        """Return a worker that is ready, or will be."""
        return WarmWorker(env, log)

    def note_waiting(self) -> None:
        """Learn that a trial waits for room; on this machine none does."""

    def was_canceled(self, trial: Trial) -> bool:
        """Say whether somebody ended the trial's job from elsewhere."""
        try:
            return self._store.load(trial.job_id).status == JobStatus.CANCELED
        except JobError:  # somebody removed its folder
            return False

    def leave(self, trial: Trial, reason: str) -> Progress:
        """Write down that a trial of an earlier run of the search is over; return its last reports and its end."""
        job_id = trial_job_id(self._search.job_id, trial.number)
        folder = self._store.folder(job_id) / ACTION
        record = self._known(job_id)
        if record is None and trial.reports:
            return Progress(end=End("failed", Failure(kind="infrastructure", message="its job is gone")))
        if record is None:  # it was killed before it began
            return Progress(end=End("stopped"))
        trial.job_id = job_id
        reader = ReportReader(folder, self.metric, trial.epochs, self._form.skill.metric)
        if record.status == JobStatus.COMPLETE:
            return DoneTrial(reader, folder, self.metric).poll()
        end = End("stopped", checkpoint_bytes=checkpoint_bytes(folder), held_value=held_value(folder, self.metric))
        if record.status == JobStatus.ERROR:  # its search was killed; this is how it ends after all
            self._store.update(job_id, status=JobStatus.RUNNING, reason="its search was resumed")
        conclude_trial(self._store, job_id, folder, end, [reason])
        return Progress(reader.new(), end)

    def forget(self, trial: Trial) -> None:
        """Delete a trial's checkpoints; its record and its numbers stay."""
        if not trial.job_id:  # it never began
            return
        try:
            forget_checkpoints(self._store, trial.job_id)
        except (TaoSkillError, OSError) as error:  # they may belong to somebody else
            _log.warning("The checkpoints of trial %d can't be removed: %s", trial.number, error)

    def take_end(self, running: RunningTrial, end: End) -> End:
        """Free the slot and write down how the trial ended; return that, or how it failed of being written down."""
        running.slot.busy = False
        self._running.discard(running.trial.number)
        self._sources.drop(running.trial)
        if end.state == "failed" or not running.is_sound or running.worker.exit_code is not None:
            running.worker.kill()
            running.slot.worker = None
        try:
            conclude_trial(self._store, running.trial.job_id, running.folder, end, running.reasons)
        except TaoSkillError as error:  # somebody removed its folder, say
            return broken(error)
        return end

    def close(self) -> None:
        """End all workers, and remove what was copied for them."""
        self._sources.close()
        for slot in self._slots:
            if slot.worker is not None:
                slot.worker.kill()
                slot.worker = None

    def _worker_of(self, slot: Slot) -> Worker:
        if slot.worker is None or slot.worker.exit_code is not None:
            slot.worker = self.new_worker(slot.env, action_folder(self._search) / WORKER_LOG)
        return slot.worker

    def _known(self, job_id: str) -> JobRecord | None:
        """Return a trial's record, with the end that it came to, where it has one yet.

        A trial may have ended well just before its search was killed, when nobody was left to write that down.
        """
        if not (self._store.folder(job_id) / "job.json").exists():
            return None
        record = self._store.reconcile(self._store.load(job_id))
        if record.status != JobStatus.RUNNING:
            return record
        # The worker of a search that was killed ends by itself, unless it hangs; no two may train in one folder.
        if record.pid is not None and record.host in (None, platform.node()):
            stop_group(record.pid, record.process_start_time)
        return self._store.update(job_id, status=JobStatus.ERROR, reason="the search that ran it was killed")

    def _prepare(self, trial: Trial, worker: Worker) -> tuple[JobRecord, Path]:
        """Write the trial's record and its spec; a trial that goes on keeps its folder."""
        job_id = trial_job_id(self._search.job_id, trial.number)
        trial.job_id = job_id
        results_dir = self._store.folder(job_id)
        folder = results_dir / ACTION
        record = self._known(job_id)
        if record is not None and record.status == JobStatus.COMPLETE:
            return record, folder
        folder.mkdir(parents=True, exist_ok=True)
        parent = None
        if trial.continues is not None:
            copied = trial.continues in self._running
            parent = self._sources.copied(trial.continues, trial) if copied else self._sources.files(trial.continues)
        built = self._form.build(trial.values, trial.epochs, results_dir, goes_on_from(job_id, folder), parent)
        spec = without_secrets(built.spec)
        spec_file = write_spec(folder, spec, self._program.config_format)
        for name in ("error.json", "results.json"):
            (folder / name).unlink(missing_ok=True)
        started = process_start_time(worker.pid) if worker.pid is not None else None
        facts: dict[str, Any] = {
            "spec": redacted(spec), "command": self._program.command(spec_file), "pid": worker.pid,
            "process_start_time": started, **this_process(),
        }  # fmt: skip
        if record is None:
            provenance = dict(self._search.provenance) | built.provenance
            self._store.create(
                JobRecord(
                    job_id=job_id, skill=self._search.skill, skill_dir=self._search.skill_dir, action=ACTION,
                    parent_job=self._search.job_id, results_dir=str(results_dir), provenance=provenance, **facts,
                )
            )  # fmt: skip
        reason = f"trial {trial.number} of search {self._search.job_id} starts"
        return self._store.update(job_id, status=JobStatus.RUNNING, reason=reason, **facts), folder
