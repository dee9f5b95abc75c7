"""Where all jobs are."""

from __future__ import annotations

import os

from tao_skill.jobs.store import JobStore
from tao_skill.storage.locate import local_path

__all__ = ["RESULTS_ROOT_VARIABLE", "open_store"]

RESULTS_ROOT_VARIABLE = "TAO_RESULTS_ROOT"
DEFAULT_RESULTS_ROOT = "results"


def open_store(results_root: str | None) -> JobStore:
    """Return the jobs below a results root: the one given, else that of the environment, else ./results."""
    root = results_root or os.environ.get(RESULTS_ROOT_VARIABLE, "").strip() or DEFAULT_RESULTS_ROOT
    return JobStore(local_path(root))
