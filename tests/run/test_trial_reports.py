"""How a trial tells its metric, whatever program it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from tao_skill.run.trial_reports import ReportReader


def write(path: Path, *lines: dict[str, Any] | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)


def test_status_lines_are_followed(tmp_path: Path) -> None:
    folder = tmp_path / "train"
    reader = ReportReader(folder, "m", 9)
    assert reader.new() == []
    write(folder / "status.json", {"epoch": 0, "kpi": {"m": 0.5}}, {"epoch": 1, "kpi": {"loss": 1}}, '{"epoch": 2, "kp')
    assert reader.new() == [(1, 0.5)]
    write(folder / "status.json", 'i": {"m": 0.7}}\n', {"epoch": 3, "kpi": {"m": None}}, "no JSON\n")
    assert reader.new() == [(3, 0.7), (4, None)]
    write(folder / "status.json", {"status": "SUCCESS", "kpi": {"m": 0.7}})
    assert reader.new() == []
    assert reader.last() == []  # it was told already


@pytest.mark.parametrize("name", ["train/results.json", "results.json", "train/metrics.json"])
def test_results_files_count_where_status_told_nothing(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, {"metrics": {"m": 0.25}})
    assert ReportReader(tmp_path / "train", "m", 9).last() == [(9, 0.25)]


def test_a_line_of_the_output_counts_last_and_exactly(tmp_path: Path) -> None:  # `kpi: 0.5` is no `m`
    write(tmp_path / "train" / "log.txt", "best m: 0.9\nkpi: 0.5\nm: 0.1\nepoch 2, m = 3.5e-1\n")
    assert ReportReader(tmp_path / "train", "m", 9).last() == [(9, 0.35)]
    assert ReportReader(tmp_path / "train", "other", 9).last() == []


def test_a_file_that_is_begun_anew_is_read_anew(tmp_path: Path) -> None:
    """A program that opens its file for writing at each start: a retry's reports are those that count."""
    status = tmp_path / "train" / "status.json"
    write(status, *({"epoch": epoch, "kpi": {"m": 0.1}} for epoch in range(3)))
    reader = ReportReader(tmp_path / "train", "m", 9)
    assert len(reader.new()) == 3
    status.write_text(json.dumps({"epoch": 0, "kpi": {"m": 0.2}}) + "\n")
    assert reader.new() == [(1, 0.2)]
    other = tmp_path / "other.json"
    write(other, *({"epoch": epoch, "kpi": {"m": 0.3}} for epoch in range(3)))
    other.replace(status)  # as long as the old one, or longer
    assert reader.new() == [(1, 0.3), (2, 0.3), (3, 0.3)]
    assert reader.new() == []


def test_lines_without_an_epoch_are_counted_one_by_one(tmp_path: Path) -> None:
    status = tmp_path / "train" / "status.json"
    write(status, {"kpi": {"m": 0.1}}, {"kpi": {"other": 1}}, {"kpi": {"m": 0.2}})
    reader = ReportReader(tmp_path / "train", "m", 9)
    assert reader.new() == [(1, 0.1), (2, 0.2)]
    write(status, {"kpi": {"m": 0.3}}, {"kpi": {"m": 0.4}})
    assert reader.new() == [(3, 0.3), (4, 0.4)]
    assert ReportReader(tmp_path / "train", "m", 9).new() == [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)]


def test_other_metrics_show_that_one_is_missing(tmp_path: Path) -> None:  # 8.23
    reader = ReportReader(tmp_path / "train", "val_ac", 9, "val_acc")
    other = ReportReader(tmp_path / "train", "speed", 9, "val_acc")
    write(tmp_path / "train" / "status.json", *({"epoch": one, "kpi": {"loss": 1.0}} for one in range(5)))
    assert (reader.new(), reader.instead(ended=False)) == ([], None)  # nothing was validated yet
    write(tmp_path / "train" / "status.json", *({"epoch": one, "kpi": {"loss": 1.0, "val_acc": 0.5}} for one in (5, 6)))
    assert (reader.new(), reader.instead(ended=False)) == ([], ["val_acc", "loss"])
    assert (other.new(), other.instead(ended=False)) == ([], None)  # it may be told at the end
    assert (other.last(), other.instead(ended=True)) == ([], ["loss", "val_acc"])
    write(tmp_path / "train" / "log.txt", "speed: 3\n")
    assert (other.last(), other.instead(ended=True)) == ([(9, 3.0)], None)
