"""What a search on a cluster takes, told before a job of it is made."""

from __future__ import annotations

from collections.abc import Mapping

from tao_skill.config.automl import AutoML
from tao_skill.errors import Problem, SpecError
from tao_skill.jobs.store import JobStore
from tao_skill.run.remote_jobs import MirroredJobStore
from tao_skill.storage.locate import redact

__all__ = ["refuse_unshared"]


def refuse_unshared(settings: AutoML, store: JobStore, inputs: Mapping[str, list[str]]) -> None:
    """Refuse what the nodes of a cluster can't share.

    Raises:
        SpecError: the results root is no folder, or an input's link carries a key; all of them.
    """
    if settings.automl_platform != "ray":
        return
    problems = []
    if isinstance(store, MirroredJobStore):
        problems.append(
            Problem("--results-root", redact(store.uri), "a folder that every node has under the same path")
        )
    problems += [
        Problem(key, redact(uri), "no signed link: specs of trials lie on the shared root. s3:// or a shared folder")
        for key, uris in inputs.items()
        for uri in uris
        if redact(uri) != uri
    ]
    if problems:
        raise SpecError(
            "A search on a Ray cluster can't share these with the nodes.",
            problems=problems,
            next_step="correct them, or --platform local",
        )
