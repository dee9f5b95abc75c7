"""Where all jobs are."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from tao_skill.jobs.store import JobStore
from tao_skill.run.remote_jobs import MirroredJobStore
from tao_skill.storage.locate import is_remote, local_path, without_slash
from tao_skill.storage.s3_client import with_bucket

__all__ = ["RESULTS_ROOT_VARIABLE", "default_results_root", "local_copy", "open_store"]

RESULTS_ROOT_VARIABLE = "TAO_RESULTS_ROOT"
STATE_VARIABLE = "TAO_SKILL_STATE"
DEFAULT_RESULTS_ROOT = "results"


def default_results_root() -> str:
    """Return where jobs are if nobody says otherwise: what the environment names, else ./results."""
    return os.environ.get(RESULTS_ROOT_VARIABLE, "").strip() or DEFAULT_RESULTS_ROOT


def open_store(results_root: str | None) -> JobStore:
    """Return the jobs below a results root: the one given, else that of the environment, else ./results.

    Jobs of a remote root work in a local copy of it, from which their files are uploaded.
    """
    root = results_root or default_results_root()
    if not is_remote(root):
        return JobStore(local_path(root))
    # The bucket is written out: another S3_BUCKET_NAME is another root, with jobs of its own.
    uri = without_slash(with_bucket(root))
    return MirroredJobStore(uri, local_copy(uri))


def local_copy(uri: str) -> Path:
    """Return the folder in which the jobs of a remote root work: below ``$TAO_SKILL_STATE``, or the user's own."""
    clean = without_slash(uri)
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "_", clean.partition("://")[2])[:60]
    name = f"{readable}-{hashlib.sha256(clean.encode()).hexdigest()[:8]}"
    named = os.environ.get(STATE_VARIABLE, "").strip()
    if named:
        return local_path(named) / "results" / name
    base = os.environ.get("XDG_STATE_HOME", "")
    usual = (Path(base) if base.startswith("/") else Path("~").expanduser() / ".local" / "state") / "tao-skill"
    home = usual if _can_be_made(usual) else Path.cwd() / DEFAULT_RESULTS_ROOT
    return home / "results" / name


def _can_be_made(folder: Path) -> bool:
    """Say whether a folder is there and writable, or could be made; a plan makes nothing."""
    nearest = next((place for place in (folder, *folder.parents) if place.exists()), None)
    return nearest is not None and nearest.is_dir() and os.access(nearest, os.W_OK)
