"""Fill in where the data is: from the skill's table and a data root, unless the user said it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from tao_skill.bank.tables import DataSourceRow
from tao_skill.config.placeholder import is_given
from tao_skill.errors import Problem
from tao_skill.storage.locate import has_query, redact, without_slash

__all__ = ["fill_data_sources"]


def fill_data_sources(
    rows: Iterable[DataSourceRow],
    data_root: str | None,
    explicit: Mapping[str, Any],
    *,
    optional: Collection[str] = (),
    unread: Collection[str] = (),
) -> tuple[dict[str, Any], list[Problem]]:
    """Return what the table gives to the keys that ``explicit`` leaves open, by dotted key, and what is missing.

    ``rows`` are those of one action. An empty value or a placeholder leaves a key open. Keys in ``optional`` are
    filled where a root is given, and not missed where none is. Every other key without a value and without a root to
    find it under is a problem that names the path expected, and so is a root that is one file's link. Keys in
    ``unread`` stay open: the other settings leave nothing that would read them.
    """
    root = data_root if is_given(data_root) else None
    filled: dict[str, Any] = {}
    missing: list[Problem] = []
    if root is not None and has_query(root):
        expected = "a folder's path or URI: a signed link leads to one file; set the keys, each to a link of its own"
        missing.append(Problem("--data-root", redact(root), expected))
    for row in rows:
        for key, file in _files(row).items():
            if _is_said(key, explicit) or not file or key in unread:
                continue
            if root is not None:
                path = f"{without_slash(root)}/{file}"
                filled[key] = [path] if row.is_list else path
            elif row.spec_key not in optional:
                expected = f"<data root>/{file}; data sources are mandatory: add --data-root URI or set the key"
                missing.append(Problem(key, explicit.get(key), expected))
    return filled, missing


def _files(row: DataSourceRow) -> dict[str, str]:
    if isinstance(row.files, str):
        return {row.spec_key: row.files}
    return {f"{row.spec_key}.{name}": file for name, file in row.files.items()}


def _is_said(key: str, explicit: Mapping[str, Any]) -> bool:
    # A value in place of the whole section is the user's too: the check of the spec says what is wrong with it.
    sections = [key[:end] for end, letter in enumerate(key) if letter == "."]
    return any(is_given(explicit.get(name)) for name in [*sections, key])
