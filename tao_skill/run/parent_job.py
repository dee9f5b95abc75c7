"""Look up the job that a run starts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from tao_skill.config.keys import get_leaf
from tao_skill.errors import JobError, Problem
from tao_skill.jobs.reconcile import action_folder
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.checkpoint_choice import Candidate
from tao_skill.run.checkpoint_files import find_candidates
from tao_skill.run.inference_functions import Files
from tao_skill.run.remote_checkpoints import find_remote_candidates
from tao_skill.run.remote_jobs import remote_folder
from tao_skill.run.results_root import open_store
from tao_skill.run.search_history import is_search, search_of
from tao_skill.storage.locate import is_remote

__all__ = ["find_job", "find_parent", "job_files"]

_Place = TypeVar("_Place", str, Path)
# Files that a job's own spec names as what it makes.
_OUTPUT_KEYS = {"export": "export.onnx_file", "gen_trt_engine": "gen_trt_engine.trt_engine"}


def find_parent(store: JobStore, job_id: str, force: bool) -> Files:
    """Return what the parent job made; ``job_id`` may also be the URI of a job's folder on a server.

    Raises:
        JobError: no such job, or one that is not COMPLETE while ``force`` is not set.
    """
    store, asked = find_job(store, job_id)
    record = _with_model(store, asked)
    if JobStatus.COMPLETE not in (asked.status, record.status) and not force and not _is_winner(store, asked):
        raise JobError(
            f"Parent job {asked.job_id} is {asked.status}, not COMPLETE.",
            problems=[Problem("--parent-job-id", asked.job_id, "a job that is COMPLETE")],
            next_step=f"{_until_complete(store, asked)}, or add --force-parent to take what it has so far",
        )
    elsewhere = remote_folder(store, record.job_id)
    return job_files(record) if elsewhere is None else _files_elsewhere(record, elsewhere)


def _is_winner(store: JobStore, record: JobRecord) -> bool:
    """Say whether a search that is complete vouches for this trial: even for one that its wall clock stopped."""
    search = search_of(store, record)
    return search is not None and search.status == JobStatus.COMPLETE and search.best_child == record.job_id


def _until_complete(store: JobStore, record: JobRecord) -> str:
    """Say what makes a job complete; trials are their search's to go on with."""
    search = record if is_search(record, remote_folder(store, record.job_id)) else search_of(store, record)
    if search is not None and search.status == JobStatus.COMPLETE:
        return f"--parent-job-id {search.job_id} takes the best trial of its search"
    if search is not None:
        verb = "resume" if search.ended else "stop"
        return f"{'' if search.ended else 'wait, or '}python -m tao_skill automl {verb} {search.job_id}"
    if not record.ended:
        return f"wait, or python -m tao_skill jobs cancel {record.job_id}"
    if record.action == "train":  # nothing else can be resumed
        return f"python -m tao_skill jobs resume {record.job_id}"
    return f"run {record.action} again: python -m tao_skill jobs logs {record.job_id} tells why it ended"


def find_job(store: JobStore, job_id: str) -> tuple[JobStore, JobRecord]:
    """Return a job and the store it is in, and write nothing: a plan looks up its parent here.

    ``job_id`` may also be the URI of a job's folder on a server.

    Raises:
        JobError: no such job.
    """
    if is_remote(job_id):
        root, _, job_id = job_id.rstrip("/").rpartition("/")
        store = open_store(root)
    return store, store.judge(store.load(job_id))


def job_files(record: JobRecord) -> Files:
    """Return the models that lie in a job's folder."""
    return files_below(
        record.job_id, record.action, action_folder(record), Path(record.results_dir), outputs=_outputs(record)
    )


def files_below(job_id: str, action: str, folder: Path, whole: Path, *, outputs: Sequence[str] = ()) -> Files:
    """Return the models in the folder that an action writes into, or else in the whole folder of its job.

    Programs of other skills know nothing of a folder for each action.
    """
    return _first_with_models(job_id, action, [folder, whole], lambda place: find_candidates(place, outputs))


def _files_elsewhere(record: JobRecord, folder: str) -> Files:
    """Return what `files_below` would, of a job's folder on a server."""
    places, outputs = [f"{folder}/{record.action}", folder], _outputs(record)
    return _first_with_models(
        record.job_id, record.action, places, lambda place: find_remote_candidates(place, outputs)
    )


def _first_with_models(
    job_id: str, action: str, places: Sequence[_Place], find: Callable[[_Place], list[Candidate]]
) -> Files:
    for place in places:
        if candidates := find(place):
            return Files(job_id, action, place, candidates)
    return Files(job_id, action, places[0])


def _outputs(record: JobRecord) -> list[str]:
    output = get_leaf(record.spec, _OUTPUT_KEYS.get(record.action, ""), None)
    return [output] if isinstance(output, str) and output else []


def _with_model(store: JobStore, record: JobRecord) -> JobRecord:
    """Return the job that holds the model: for a search over many trainings, its best child."""
    return record if record.best_child is None else store.judge(store.load(record.best_child))
