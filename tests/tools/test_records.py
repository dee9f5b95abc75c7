"""Records of what was measured: read, written whole, compared with what is measured now."""

from pathlib import Path

import pytest

from tools.bench.machine import commit, describe
from tools.bench.records import differences, read_record, write_record


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "record.json"
    assert read_record(path) == {}
    write_record(path, {"a": 1})
    write_record(path, {"a": 2, "b": [1.5]})
    assert read_record(path) == {"a": 2, "b": [1.5]}
    assert [each.name for each in path.parent.iterdir()] == ["record.json"]


def test_no_record_is_wanted() -> None:
    write_record(None, {"a": 1})
    assert read_record(None) == {}


@pytest.mark.parametrize("text", ["{", "[1, 2]", ""])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "record.json").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit, match=r"record\.json is no record"):
        read_record(tmp_path / "record.json")


def test_differences_name_what_changed_came_and_went() -> None:
    assert differences({"size": 64, "batch": 8, "old": 1}, {"size": 96, "batch": 8, "new": 2}) == [
        "size: 64 in the record, 96 now",
        "old: 1 in the record, not told now",
        "new: not told in the record, 2 now",
    ]


def test_the_machine_and_the_commit_are_told() -> None:
    assert "3 threads of PyTorch" in describe(3)
    assert commit()
    assert "\n" not in commit()
