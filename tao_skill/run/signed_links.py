"""Signed links: a record keeps them without their secret; the staged spec knows where their content lies."""

from __future__ import annotations

from typing import Any

from tao_skill.config.keys import get_leaf, merge, nest
from tao_skill.config.placeholder import is_given
from tao_skill.errors import JobError, Problem
from tao_skill.jobs.reconcile import action_folder
from tao_skill.jobs.record import JobRecord
from tao_skill.run.spec_file import read_spec
from tao_skill.storage.locate import is_redacted

__all__ = ["with_links"]


def with_links(
    spec: dict[str, Any], inputs: dict[str, list[str]], record: JobRecord
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Put what was staged in place of signed links: records keep those without their secret part.

    Raises:
        JobError: the job broke off before what they lead to was here.
    """
    gone = [key for key, uris in inputs.items() if any(is_redacted(uri) for uri in uris)]
    if not gone:
        return spec, inputs
    staged = read_spec(action_folder(record)) or {}
    lost = [key for key in gone if not is_given(get_leaf(staged, key))]
    if lost:
        raise _lost(record, {key: inputs[key] for key in lost})
    for key in gone:
        held = get_leaf(staged, key)
        spec = merge(spec, nest({key: held}))
        inputs = inputs | {key: held if isinstance(held, list) else [str(held)]}
    return spec, inputs


def _lost(record: JobRecord, links: dict[str, list[str]]) -> JobError:
    return JobError(
        f"Job {record.job_id} can't go on: its links are kept without what is secret in them, and it broke off before "
        "their content was here.",
        problems=[Problem(key, ", ".join(uris), "a new run with a fresh link") for key, uris in links.items()],
        next_step=f"python -m tao_skill run {record.action} --overrides {' '.join(f'{key}=LINK' for key in links)}",
    )
