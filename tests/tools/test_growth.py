"""The page of growth: what its record keeps, and which records it refuses."""

import json
from pathlib import Path

import pytest

from tools.bench import growth
from tools.bench.machine import commit, describe

POINTS = [[1, 0.5, 100.0], [10, 5.0, 200.0]]


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """Return options that keep everything in a folder of the test."""
    names = {"page": "page.md", "plot": "plot.svg", "record": "record.json"}
    return ["--threads", "1", *[word for name, file in names.items() for word in (f"--{name}", str(tmp_path / file))]]


def _keep(folder: Path, **curves: object) -> None:
    (folder / "record.json").write_text(json.dumps(curves), encoding="utf-8")


def _curve(machine: str, made_at: str = "abc") -> dict[str, object]:
    return {"machine": machine, "commit": made_at, "points": POINTS}


def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the curve of staging take no time."""
    quick = growth._Growth("Quick", "files", "seconds", (1, 10), lambda size, _: (size, size / 2, 100.0), "Linear.")
    monkeypatch.setitem(growth._GROWTHS, "staging", quick)


def test_the_page_is_written_from_the_record_with_each_curve_s_commit(tmp_path: Path, options: list[str]) -> None:
    _keep(tmp_path, search=_curve(describe(1), "abc"), both=_curve(describe(1), "def"))
    growth.main([*options, "--only"])
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| 10 | 5 | 200 |\n\nMeasured at commit abc.\n\nSmall galleries" in page
    assert "Measured at commit def." in page
    assert (tmp_path / "plot.svg").is_file()


def test_what_is_measured_is_kept_with_its_machine_and_commit(
    tmp_path: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _quick(monkeypatch)
    _keep(tmp_path, search=_curve(describe(1)))
    growth.main([*options, "--only", "staging"])
    record = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))
    assert record["staging"] == {
        "machine": describe(1), "commit": commit(), "points": [[1, 0.5, 100.0], [10, 5.0, 100.0]],
    }  # fmt: skip
    assert record["search"] == _curve(describe(1))


@pytest.mark.parametrize("kept", [_curve("Machine: another."), POINTS], ids=["another machine", "older form"])
def test_curves_of_another_machine_are_refused_unless_they_are_measured_again(
    kept: object,
    tmp_path: Path,
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _quick(monkeypatch)
    _keep(tmp_path, staging=kept, search=_curve(describe(1)))
    with pytest.raises(SystemExit):
        growth.main([*options, "--only"])
    said = capsys.readouterr().err
    assert "staging: Machine: " in said
    assert "--only staging)" in said
    assert not (tmp_path / "page.md").exists()
    growth.main([*options, "--only", "staging"])
    assert (tmp_path / "page.md").is_file()


def test_a_record_without_a_curve_is_no_page(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        growth.main([*options, "--only"])
    assert "holds no measurement yet" in capsys.readouterr().err
