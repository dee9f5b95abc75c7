"""The file that an action reads its spec from: YAML or JSON, as its skill declares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tao_skill.config.secrets import without_secrets
from tao_skill.config.yaml_text import dump_yaml, load_yaml
from tao_skill.errors import SpecError

__all__ = ["SPEC_FILE", "read_spec", "write_spec"]

SPEC_FILE = "spec.yaml"


def write_spec(folder: Path, spec: Mapping[str, Any], form: str = "yaml") -> Path:
    """Write a nested spec, without what is secret in it, into an action's folder and return the file.

    ``form`` is yaml or json.

    Raises:
        OSError: it can't be written.
    """
    plain = without_secrets(spec)
    file = (folder / SPEC_FILE).with_suffix(f".{form}")
    file.write_text(json.dumps(plain, indent=2) if form == "json" else dump_yaml(plain), encoding="utf-8")
    return file


def read_spec(folder: Path) -> dict[str, Any] | None:
    """Return the spec that an action was given; None where none was, or it can't be read."""
    for form in (".yaml", ".json"):
        try:
            # JSON is YAML, too.
            document = load_yaml((folder / SPEC_FILE).with_suffix(form).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, SpecError):
            continue
        if isinstance(document, dict):
            return document
    return None
