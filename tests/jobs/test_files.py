"""Atomic writing, and the end of a log."""

from pathlib import Path

import pytest

from tao_skill.jobs.files import log_tail, read_tail, write_atomically


def test_a_failure_keeps_the_old_text_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, f"No space left for {descriptor}")

    monkeypatch.setattr("tao_skill.jobs.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_no_utf_8_can_be_written_down(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.json", "caf\udce9.png")
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "caf?.png"


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert read_tail(log) == []
    log.write_text("one\ntwo\r\n\n10%\r50%\r100%\nlast")
    assert read_tail(log, 10) == ["one", "two", "100%", "last"]
    assert read_tail(log, 2) == ["100%", "last"]
    assert read_tail(log, 0) == []


def test_the_tail_of_a_huge_log_with_broken_bytes(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_bytes(b"start\n" + b"\xff" * 200_000 + b"\nend\n")
    assert read_tail(log, 1) == ["end"]
    assert read_tail(log) == ["start", "\ufffd" * 200_000, "end"]
    assert log_tail(log) == ["start", "\ufffd" * 2_000, "end"]


def test_as_many_lines_as_are_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    lines = [f"line {number}" for number in range(30_000)]
    log.write_text("\n".join(lines))
    assert read_tail(log, 25_000) == lines[-25_000:]
    assert read_tail(log, 40_000) == lines


def test_a_progress_bar_longer_than_what_is_read_shows_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("begin\n" + "".join(f"\r{number} of 20000" for number in range(20_001)))
    assert read_tail(log, 1) == ["20000 of 20000"]
    assert read_tail(log) == ["begin", "20000 of 20000"]
