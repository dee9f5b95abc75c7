"""Signed links: a record keeps them without their secret; the staged spec knows where their content lies."""

from __future__ import annotations

from typing import Any

from tao_skill.config.keys import get_leaf, merge, nest
from tao_skill.config.yaml_text import load_yaml
from tao_skill.jobs.reconcile import action_folder
from tao_skill.jobs.record import JobRecord
from tao_skill.run.record import SPEC_FILE
from tao_skill.run.redaction import is_redacted

__all__ = ["with_links"]


def with_links(
    spec: dict[str, Any], inputs: dict[str, list[str]], record: JobRecord
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Put what was staged in place of signed links: records keep those without their secret part."""
    gone = [key for key, uris in inputs.items() if any(is_redacted(uri) for uri in uris)]
    if not gone:
        return spec, inputs
    staged = load_yaml((action_folder(record) / SPEC_FILE).read_text(encoding="utf-8"))
    for key in gone:
        held = get_leaf(staged, key, None)
        spec = merge(spec, nest({key: held}))
        inputs = inputs | {key: held if isinstance(held, list) else [str(held)]}
    return spec, inputs
