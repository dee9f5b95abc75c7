"""Keep what was measured with what it was measured under, and never mix it with what was measured otherwise."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["differences", "read_record", "write_record"]


def read_record(path: Path | None) -> dict[str, Any]:
    """Return what a record holds, or nothing where there is none yet.

    Raises:
        SystemExit: it is no JSON object.
    """
    if path is None or not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SystemExit(f"{path} is no record: {error}") from error
    if not isinstance(record, dict):
        raise SystemExit(f"{path} is no record: it holds no JSON object.")
    return record


def write_record(path: Path | None, record: Mapping[str, Any]) -> None:
    """Write a record where one is kept; one that a kill cuts short leaves the former."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.part")
    beside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    beside.replace(path)


def differences(kept: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return a line for each thing that is not now as it was when the record was kept."""
    return [
        f"{name}: {kept.get(name, 'not told')} in the record, {now.get(name, 'not told')} now"
        for name in {**kept, **now}
        if kept.get(name) != now.get(name)
    ]
