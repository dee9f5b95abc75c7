"""Compare the engines of one model: find its files by the job that made them, and the images by the skill's table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tao_skill.errors import SpecError
from tao_skill.run.data_sources import fill_data_sources
from tao_skill.run.exported_files import exported_files
from tao_skill.run.packages import needing
from tao_skill.run.results_root import open_store
from tao_skill.run.skill_of_job import skill_of
from tao_skill.run.stage import stage_all

__all__ = ["compare_engines"]

_REFERENCE, _QUERY = "dataset.val_dataset.reference", "dataset.val_dataset.query"


def compare_engines(
    parent_job_id: str,
    *,
    results_root: str | None = None,
    data_root: str | None = None,
    reference: str | None = None,
    query: str | None = None,
    batches: Sequence[int] = (1, 16),
    rounds: int = 7,
) -> dict[str, Any]:
    """Return the comparison of all engines that can run here, as a document.

    The parent is an export job, or the job that built an engine from one; it may have worked on another machine.
    Images are those of ``evaluate`` in the skill's table, below ``data_root``, unless ``reference`` and ``query`` are
    given.

    Raises:
        JobError: no such job, or one that exported nothing.
        SpecError: images are missing.
        NotAvailableError: torch isn't installed.
    """
    record, files = exported_files(open_store(results_root), parent_job_id)
    given = {key: value for key, value in ((_REFERENCE, reference), (_QUERY, query)) if value}
    skill = skill_of(record)
    filled, missing = fill_data_sources(skill.data_source_rows("evaluate"), data_root, given)
    if missing:
        raise SpecError(
            "Engines are compared on reference and query images, which are missing.",
            problems=missing,
            next_step="add --data-root URI, or --reference FOLDER --query FOLDER",
        )
    images = {**filled, **given}
    # An engine runs only where it was built: it is looked for here, never fetched.
    fetched = [kind for kind in files if kind != "engine"]
    wanted = {key: images[key] for key in (_REFERENCE, _QUERY)} | {f"{kind} file": files[kind] for kind in fetched}
    local = stage_all(list(wanted.values()), list(wanted))
    files |= dict(zip(fetched, local[2:], strict=True))
    with needing("train,deploy", "deploy compare"):
        from tao_skill.metric_learning.compare.compare import compare
    return {"job_id": record.job_id, **compare(files, local[0], local[1], batches=batches, rounds=rounds)}
