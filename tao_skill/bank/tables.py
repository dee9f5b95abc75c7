"""What code reads in SKILL.md too: data sources per action, inference functions, and the monitored metric."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tao_skill.errors import Problem, SkillError

DATA_SOURCE_HEADER = ("Action", "Spec Key", "Source", "Files", "List?")
INFERENCE_HEADER = ("Action", "Spec Field", "Inference Function", "Meaning")
AUTOML_SUFFIX = " (AutoML)"

Row = TypeVar("Row")

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ACTION = re.compile(r"[a-z][a-z0-9_]*( \(AutoML\))?")
_SPEC_KEY = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_PART = re.compile(r"([a-z][a-z0-9_]*):(?:\s+(.*))?")
_METRIC = re.compile(
    r"^\s*[-*]?\s*\**Monitoring metric\**:\**\s*(?:`([^`]+)`|([^`(\n]+))", re.MULTILINE | re.IGNORECASE
)
_FENCE = re.compile(r"\s*(```+|~~~+)")


@dataclass(frozen=True)
class DataSourceRow:
    """One row: which files below the data root an action's spec key gets.

    ``files`` is a relative path, or paths by sub-key; an empty path means that the sub-key is left open.
    """

    action: str
    spec_key: str
    source: str
    files: str | dict[str, str]
    is_list: bool
    line: int


@dataclass(frozen=True)
class InferenceRow:
    """One row: which function fills a spec field that the user left open.

    ``action`` reads ``train (AutoML)`` for the rows that hold inside an AutoML trial only.
    """

    action: str
    spec_field: str
    function: str
    args: tuple[str, ...]
    meaning: str
    line: int


class _CellError(Exception):
    """Carry what is wrong with one row: the cell's column, its text, and what was expected."""

    def __init__(self, column: str, value: str, expected: str) -> None:
        super().__init__(column, value, expected)
        self.column, self.value, self.expected = column, value, expected


def parse_data_sources(markdown: str, file: str = "SKILL.md") -> list[DataSourceRow]:
    """Return the rows of the one data-source table in ``markdown``.

    Raises:
        SkillError: no such table, more than one, or malformed rows: all of them, each with its line number.
    """
    rows = _parse(markdown, file, DATA_SOURCE_HEADER, _data_source_row)
    _refuse_twins(file, [(row.line, f"{row.action} {row.spec_key}") for row in rows])
    return rows


def parse_inference(markdown: str, file: str = "SKILL.md") -> list[InferenceRow]:
    """Return the rows of the one inference-function table in ``markdown``; raises as parse_data_sources does."""
    rows = _parse(markdown, file, INFERENCE_HEADER, _inference_row)
    _refuse_twins(file, [(row.line, f"{row.action} {row.spec_field}") for row in rows])
    return rows


def has_table(markdown: str, header: tuple[str, ...]) -> bool:
    """Say whether a document has a table with these columns."""
    return any(tuple(_cells(line)) == header for line in markdown.splitlines() if "|" in line)


def monitored_metric(markdown: str) -> str:
    """Return the metric that the line `Monitoring metric: …` names; empty where there is none."""
    found = _METRIC.search(markdown)
    return "" if found is None else (found[1] or found[2] or "").strip()


def _data_source_row(cells: list[str], line: int) -> DataSourceRow:
    action, spec_key, source, files, is_list = cells
    if not _NAME.fullmatch(action):
        raise _CellError("Action", action, "the name of an action")
    _check(_SPEC_KEY, "Spec Key", spec_key, "a dotted spec key")
    _check(_NAME, "Source", source, "the name of a data source, such as train_datasets")
    if is_list.lower() not in ("yes", "no"):
        raise _CellError("List?", is_list, "Yes or No")
    return DataSourceRow(action, spec_key, source, _files(files), is_list.lower() == "yes", line)


def _inference_row(cells: list[str], line: int) -> InferenceRow:
    action, spec_field, call, meaning = cells
    _check(_ACTION, "Action", action, f"the name of an action, with{AUTOML_SUFFIX} behind it where that is meant")
    _check(_SPEC_KEY, "Spec Field", spec_field, "a dotted spec key")
    function, *args = [part.strip() for part in call.split(",")]
    _check(_NAME, "Inference Function", function, "function, or function,argument,argument")
    for argument in args:
        _check(_SPEC_KEY, "Inference Function", argument, "arguments that are dotted spec keys")
    if not meaning:
        raise _CellError("Meaning", meaning, "a few words on what the field gets")
    return InferenceRow(action, spec_field, function, tuple(args), meaning, line)


def _files(cell: str) -> str | dict[str, str]:
    parts = [part.strip() for part in cell.split(",")]
    if not _PART.fullmatch(parts[0]):
        if len(parts) > 1:
            raise _CellError("Files", cell, "one path, or `name: path, name: path`")
        return _relative(cell)
    files: dict[str, str] = {}
    for part in parts:
        match = _PART.fullmatch(part)
        if match is None or match[1] in files:
            raise _CellError("Files", cell, "`name: path, name: path`, each name once")
        files[match[1]] = _relative(match[2].strip()) if match[2] and match[2].strip() else ""
    return files


def _relative(path: str) -> str:
    if not path or path.startswith("/") or "://" in path or ".." in path.split("/") or re.search(r"\s", path):
        raise _CellError("Files", path, "a path below the data root: relative, without spaces or ..")
    return path


def _check(pattern: re.Pattern[str], column: str, text: str, expected: str) -> None:
    if not pattern.fullmatch(text):
        raise _CellError(column, text, expected)


def _parse(markdown: str, file: str, header: tuple[str, ...], read: Callable[[list[str], int], Row]) -> list[Row]:
    rows: list[Row] = []
    problems: list[Problem] = []
    for line, cells in _table(markdown, file, header):
        try:
            if len(cells) != len(header):
                raise _CellError("row", " | ".join(cells), f"{len(header)} cells: {' | '.join(header)}")
            rows.append(read(cells, line))
        except _CellError as wrong:
            problems.append(Problem(f"{file} line {line}, {wrong.column}", wrong.value, wrong.expected))
    if problems:
        raise _table_error(file, header, problems)
    return rows


def _table(markdown: str, file: str, header: tuple[str, ...]) -> list[tuple[int, list[str]]]:
    """Return (line number, cells) of each row below the one table that has ``header``."""
    lines = _lines_outside_code(markdown)
    starts = [number for number, text in lines.items() if tuple(_cells(text)) == header]
    if len(starts) != 1:
        where = ", ".join(str(number) for number in starts) or "nowhere"
        problem = Problem(f"{file}: | {' | '.join(header)} |", where, "exactly one table with these columns")
        raise _table_error(file, header, [problem])
    start = starts[0]
    ruler = _cells(lines.get(start + 1, ""))
    if len(ruler) != len(header) or not all(re.fullmatch(r":?-+:?", cell) for cell in ruler):
        problem = Problem(f"{file} line {start + 1}", lines.get(start + 1, ""), "the line of dashes under the header")
        raise _table_error(file, header, [problem])
    rows: list[tuple[int, list[str]]] = []
    number = start + 2
    while "|" in lines.get(number, ""):
        rows.append((number, _cells(lines[number])))
        number += 1
    if not rows:
        raise _table_error(file, header, [Problem(f"{file} line {start}", "no rows", "at least one row")])
    return rows


def _lines_outside_code(markdown: str) -> dict[int, str]:
    """Return the lines by number from 1, without those inside fenced code."""
    kept: dict[int, str] = {}
    fence = ""
    for number, text in enumerate(markdown.splitlines(), start=1):
        match = _FENCE.match(text)
        if match and not fence:
            fence = match[1][:3]
        elif match and match[1].startswith(fence):
            fence = ""
        elif not fence:
            kept[number] = text
    return kept


def _cells(text: str) -> list[str]:
    inner = text.strip().removeprefix("|")
    if inner.endswith("|") and not inner.endswith(r"\|"):
        inner = inner[:-1]
    parts = re.split(r"(?<!\\)\|", inner)
    return [part.replace(r"\|", "|").replace("`", "").strip() for part in parts]


def _refuse_twins(file: str, keyed: list[tuple[int, str]]) -> None:
    first: dict[str, int] = {}
    problems: list[Problem] = []
    for line, key in keyed:
        if key in first:
            problems.append(Problem(f"{file} line {line}", key, f"one row for each; line {first[key]} has it"))
        first.setdefault(key, line)
    if problems:
        raise SkillError(f"{file} has rows that contradict each other.", problems=problems, next_step=_repair(file))


def _table_error(file: str, header: tuple[str, ...], problems: list[Problem]) -> SkillError:
    message = f"{file} has a malformed table (columns {' | '.join(header)})."
    return SkillError(message, problems=problems, next_step=_repair(file))


def _repair(file: str) -> str:
    return f"correct the rows in {file}, then: python -m tao_skill skill show"
