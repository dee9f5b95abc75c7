"""The page of targets: written where all is measured, printed where a part is; a stranger can read it."""

from argparse import Namespace
from pathlib import Path

import pytest

from tools.bench import targets
from tools.bench.table import Row

QUICK = targets.Part("Counting", "How far one counts in a second.", lambda options, _: [_counted(options.rounds)])


def _counted(rounds: int) -> Row:
    return Row("counting", "numbers", 3.0, ours=[8.0] * rounds, theirs=[2.0] * rounds)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where the page goes, with parts that take no time."""
    monkeypatch.setattr(targets, "PAGE", tmp_path / "targets.md")
    monkeypatch.setattr(targets, "PARTS", {"counting": QUICK, "more": QUICK})
    return tmp_path / "targets.md"


def test_the_whole_is_written_to_its_page(written: Path) -> None:
    targets.main(["--rounds", "1"])
    text = written.read_text(encoding="utf-8")
    assert text.count("## Counting") == 2
    assert "--only" not in text


def test_some_parts_are_printed_and_written_only_where_asked(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    targets.main(["--only", "counting"])
    assert "## Counting" in capsys.readouterr().out
    assert not list(written.parent.iterdir())
    targets.main(["--only", "counting", "--out", str(written.parent / "some.md")])
    assert [each.name for each in written.parent.iterdir()] == ["some.md"]


def test_the_page_tells_how_it_was_made_and_what_rows_mean() -> None:
    measured = {"validation": [Row("embedding", "images/s", 3.0, ours=[8.0, 9.0], theirs=[2.0, 2.0])]}
    text = targets.page(measured, Namespace(rounds=2, threads=2, emoji=Path("some/emoji")))
    assert "`python -m tools.bench.targets --rounds 2 --threads 2 --only validation --emoji emoji`" in text
    assert "in turn, 2 times each" in text
    assert "Machine: " in text
    assert targets.PARTS["validation"].meaning in text
    assert "| embedding | 8.5 images/s | 2 | **4.25** (4 to 4.5) | ≥ 3 | yes |" in text
