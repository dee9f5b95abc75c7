"""What a user should know of a plan: what was not looked at, what does nothing, and what stays on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tao_skill.bank.skill import Skill
from tao_skill.bank.skill_info import OutputFact
from tao_skill.jobs.store import JobStore
from tao_skill.run.overrides import Overrides
from tao_skill.run.remote_jobs import MirroredJobStore
from tao_skill.run.request import RunRequest
from tao_skill.run.stage import find_inputs
from tao_skill.storage.locate import is_remote

__all__ = ["idle_options", "left_here", "not_looked_at"]


def not_looked_at(inputs: Mapping[str, Sequence[str]], store: JobStore) -> str:
    """Say what of a dry run lies on servers: it opens no connection to look."""
    remote = [key for key, uris in inputs.items() if any(is_remote(uri) for uri in uris)]
    remote += ["--results-root"] if isinstance(store, MirroredJobStore) else []
    if not remote:
        return ""
    return f"Not looked at in a dry run, since on a server: {', '.join(remote)}. The run looks before anything moves."


def idle_options(request: RunRequest, skill: Skill, given: Overrides) -> list[str]:
    """Say which options of a request do nothing in this run."""
    idle = []
    if request.parent_job_id is None:
        named = {"--parent-checkpoint": request.parent_checkpoint != "best", "--force-parent": request.force_parent}
        idle = [f"{name} does nothing without --parent-job-id." for name, is_set in named.items() if is_set]
    # A search measures its winner on the data of evaluate.
    readers = (request.action, "evaluate") if request.action == "train" else (request.action,)
    if request.data_root and not given.named_root and not any(map(skill.data_source_rows, readers)):
        idle.append(f"--data-root does nothing: {request.action} has no data sources below one.")
    return idle


def left_here(
    spec: Mapping[str, Any], outputs: Mapping[str, OutputFact], folders: Sequence[Path], store: JobStore
) -> list[str]:
    """Say which files that an action makes don't get to the server of the results root: only ``folders`` do."""
    if not isinstance(store, MirroredJobStore):
        return []
    made = find_inputs(spec, [key for key, fact in outputs.items() if fact.type == "file"])
    return [
        f"{key} lies outside the job's folder, so it is not brought to {store.address}: leave it open, and it will be."
        for key, paths in made.items()
        if not any(Path(path).is_relative_to(folder) for path in paths for folder in folders)
    ]
