"""Run a search as a job: its record, its files, its end."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from tao_skill.automl.algorithms import make_searcher
from tao_skill.automl.executor import Executor
from tao_skill.automl.history import SearchHistory
from tao_skill.automl.notes import notes_on
from tao_skill.automl.search import Search, Stopped
from tao_skill.config.finite import finite
from tao_skill.errors import InternalError, Problem, StorageError, TaoSkillError
from tao_skill.jobs.files import write_atomically
from tao_skill.jobs.identity import process_start_time, this_process
from tao_skill.jobs.reconcile import LOG_FILE, RESULTS_FILE, action_folder
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.no_winner import no_winner
from tao_skill.run.prepare_search import PreparedSearch
from tao_skill.run.record import give_up
from tao_skill.run.search_files import best_checkpoint, save_documents, save_history
from tao_skill.run.slots import LocalSlots

__all__ = ["run_search", "stop_signals"]

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0


def run_search(prepared: PreparedSearch, store: JobStore, record: JobRecord, history: SearchHistory) -> JobRecord:
    """Search until the budget is used up, and return the search's record; its trials are jobs beside it.

    Whoever calls it holds the search (`own_search`).
    """
    with _log_file(action_folder(record) / LOG_FILE), stop_signals() as signaled:
        if store.load(record.job_id).status == JobStatus.CANCELED:  # before it began
            return store.load(record.job_id)
        started = process_start_time(os.getpid())
        store.update(
            record.job_id, status=JobStatus.RUNNING, reason="the search starts", pid=os.getpid(),
            process_start_time=started, **this_process(),
        )  # fmt: skip
        try:
            with _slots(prepared, store, record) as slots:
                asked_to_stop = _StopRequest(store, record.job_id, signaled)
                _search(prepared, store, record, history, slots, asked_to_stop=asked_to_stop)
        except (Stopped, KeyboardInterrupt) as asked:
            if (ended := store.load(record.job_id)).status == JobStatus.COMPLETE:  # it was, by then
                return ended
            reason = str(asked) or "interrupted"
            _conclude(store, record, history, JobStatus.CANCELED, f"{reason}; what was found is kept")
        except BaseException as error:
            known = _known(error, record.job_id)
            _save_after_error(store, record, history, known)
            give_up(store, record.job_id, known)
            if isinstance(error, OSError):
                raise known from error
            raise
    return store.load(record.job_id)


def _known(error: BaseException, job_id: str) -> TaoSkillError:
    if isinstance(error, TaoSkillError):
        return error
    if isinstance(error, OSError):  # a full disk, a quota: no mistake of this program
        return StorageError(
            f"The search can't go on: {error.strerror or error}.",
            problems=[Problem(str(error.filename or "results_root"), error.strerror or str(error), "room, and rights")],
            next_step=f"make room, or mend what is told; then: python -m tao_skill automl resume {job_id}",
        )
    return InternalError(f"{type(error).__name__}: {error}")


@contextmanager
def _slots(prepared: PreparedSearch, store: JobStore, record: JobRecord) -> Iterator[Executor]:
    """Hold what trials run on."""
    if prepared.settings.automl_platform == "ray":
        from tao_skill.run.ray_slots import ray_slots

        with ray_slots(prepared, store, record) as on_cluster:
            yield on_cluster
        return
    here = LocalSlots(
        prepared.form, prepared.program, store, record, metric=prepared.metric,
        slots=prepared.at_once or 1,
    )  # fmt: skip
    asked = prepared.settings.automl_max_concurrent
    if asked is not None and here.slots < asked:
        _log.warning("%d of the %d trials run at once: there are no GPUs for more.", here.slots, asked)
    try:
        yield here
    finally:
        here.close()


def _search(
    prepared: PreparedSearch,
    store: JobStore,
    record: JobRecord,
    history: SearchHistory,
    slots: Executor,
    *,
    asked_to_stop: Callable[[], str],
) -> None:
    folder = action_folder(record)
    searcher = make_searcher(
        history, prepared.space, prepared.settings, prepared.baseline, folder,
        acceptable=slots.check,
    )  # fmt: skip
    _log.info("search %s: %s over %d parameters", record.job_id, history.algorithm, len(prepared.space.parameters))
    for key, why in history.left_out.items():
        _log.info("not searched: %s (%s)", key, why)
    search = Search(
        history, prepared.settings, searcher, slots,
        save=_Saver(store, record), asked_to_stop=asked_to_stop,
    )  # fmt: skip
    search.run()
    if history.winner is None:
        raise no_winner(store, history, search.reported_instead)
    _conclude(store, record, history, JobStatus.COMPLETE, history.end_reason)


def _save_after_error(store: JobStore, record: JobRecord, history: SearchHistory, error: TaoSkillError) -> None:
    """Write what was found before a search broke off; the error itself is what counts."""
    history.end_reason = history.end_reason or error.message
    if history.state == "running":
        history.state = "interrupted"
    try:
        save_history(action_folder(record), history)
        save_documents(action_folder(record), history, store)
    except (OSError, TaoSkillError) as second:
        _log.warning("The report could not be written: %s", second)


class _Saver:
    """Writes the history after each change of it, and the documents after each trial: a kill leaves those behind."""

    def __init__(self, store: JobStore, record: JobRecord) -> None:
        self._store, self._job_id, self._folder = store, record.job_id, action_folder(record)
        self._told, self._best = 0, record.best_child

    def __call__(self, history: SearchHistory) -> None:
        save_history(self._folder, history)
        ended = sum(trial.ended for trial in history.trials)
        if ended != self._told:
            self._told = ended
            save_documents(self._folder, history, self._store, importance=False)
        best = None if history.winner is None else history.trials[history.winner].job_id or None
        if best != self._best:
            self._best = best
            self._store.update(self._job_id, best_child=best)


def _conclude(store: JobStore, record: JobRecord, history: SearchHistory, status: JobStatus, reason: str) -> None:
    folder = action_folder(record)
    fields: dict[str, Any] = {}
    if history.winner is not None:
        winner = history.trials[history.winner]
        child = store.load(winner.job_id)
        # Of one that may go on the best may yet be another, and trained for longer.
        notes = notes_on(history, winner) if status == JobStatus.COMPLETE else []
        history.notes = [*(one for one in history.notes if one not in notes), *notes]
        checkpoint = best_checkpoint(store, child.job_id) or child.checkpoint
        fields = {"metrics": child.metrics, "checkpoint": checkpoint, "best_child": child.job_id}
        results = {"action": record.action, "status": str(status), "results_dir": str(folder), **fields}
        write_atomically(folder / RESULTS_FILE, _as_json(results))
    save_history(folder, history)
    save_documents(folder, history, store)
    if store.load(record.job_id).status == JobStatus.CANCELED:  # by `automl stop` or `jobs cancel`, elsewhere
        store.update(record.job_id, **fields)
    else:
        store.update(record.job_id, status=status, reason=reason, **fields)


def _as_json(document: Any) -> str:
    return json.dumps(finite(document), indent=2, ensure_ascii=False) + "\n"


class _StopRequest:
    """Says why the search is to end: a signal; or its record, looked at once a second, was marked as canceled."""

    def __init__(self, store: JobStore, job_id: str, signaled: Callable[[], str]) -> None:
        self._store, self._job_id, self._signaled = store, job_id, signaled
        self._next = 0.0

    def __call__(self) -> str:
        if signaled := self._signaled():
            return signaled
        if time.monotonic() < self._next:
            return ""
        self._next = time.monotonic() + _LOOK_SECONDS
        return "stopped from elsewhere" if self._store.load(self._job_id).status == JobStatus.CANCELED else ""


@contextmanager
def _log_file(path: Path) -> Iterator[None]:
    """Write what the search says into its own log as well."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    package = logging.getLogger("tao_skill")
    level = package.level
    package.addHandler(handler)
    if package.getEffectiveLevel() > logging.INFO:
        package.setLevel(logging.INFO)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(level)
        handler.close()


@contextmanager
def stop_signals() -> Iterator[Callable[[], str]]:
    """Let SIGTERM end the search as Ctrl-C does; hold a function that tells which of them came, empty for none.

    An exception that is raised while Python clears an object away is lost; what came is noted, so that it counts then.
    """
    came: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield str
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        del frame
        came.append("interrupted" if number == signal.SIGINT else f"canceled by {signal.Signals(number).name}")
        raise KeyboardInterrupt(came[0])

    # What is ignored stays so: a shell does that for what it starts in the background.
    heeded = [one for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, interrupt) for number in heeded}
    try:
        yield lambda: came[0] if came else ""
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
