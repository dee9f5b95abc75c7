"""Look up the job that a run starts from."""

from __future__ import annotations

from tao_skill.config.keys import get_leaf
from tao_skill.errors import JobError, Problem
from tao_skill.jobs.reconcile import action_folder
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.checkpoint_files import find_candidates
from tao_skill.run.inference_functions import Files

__all__ = ["find_parent", "job_files"]

# Files that a job's own spec names as what it makes.
_OUTPUT_KEYS = {"export": "export.onnx_file", "gen_trt_engine": "gen_trt_engine.trt_engine"}


def find_parent(store: JobStore, job_id: str, force: bool) -> Files:
    """Return what the parent job made.

    Raises:
        JobError: no such job, or one that is not COMPLETE while ``force`` is not set.
    """
    record = _with_model(store.reconcile(store.load(job_id)))
    if record.status != JobStatus.COMPLETE and not force:
        raise JobError(
            f"Parent job {record.job_id} is {record.status}, not COMPLETE.",
            problems=[Problem("--parent-job-id", record.job_id, "a job that is COMPLETE")],
            next_step=f"python -m tao_skill jobs resume {record.job_id}, or add --force-parent to take what it left",
        )
    return job_files(record)


def job_files(record: JobRecord) -> Files:
    """Return the models that lie in a job's folder."""
    output = get_leaf(record.spec, _OUTPUT_KEYS.get(record.action, ""), None)
    folder = action_folder(record)
    candidates = find_candidates(folder, [output] if isinstance(output, str) and output else [])
    return Files(record.job_id, record.action, folder, candidates)


def _with_model(record: JobRecord) -> JobRecord:
    """Return the job that holds the model: a search over many trainings will answer with its best child here."""
    return record
