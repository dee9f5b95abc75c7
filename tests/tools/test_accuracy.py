"""The comparison of accuracy: three sides, a record that is gone on with, and none of other settings."""

import json
from pathlib import Path

import pytest

from tools.bench import accuracy
from tools.bench.pictures import make_classes
from tools.bench.training import Task, _spec


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Return the options of a comparison that takes seconds."""
    images = make_classes(tmp_path / "images", 2, 8, 64, 64)
    folders = [word for name in ("train", "reference", "query") for word in (f"--{name}", str(images))]
    small = ["--network", "resnet10t", "--size", "64", "--batch", "8", "--epochs", "1", "--seeds", "3"]
    return [*folders, *small, "--threads", "1", "--record", str(tmp_path / "record.json")]


def _keep_figures(words: list[str], **settings: object) -> Path:
    """Write the record of a comparison that is done, with some settings changed."""
    options = accuracy._parser().parse_args(words)
    figures = {f"{side}, seed 3": {"precision_at_1": 0.5, "commit": "abc"} for side in accuracy.SIDES}
    record = {"settings": accuracy.settings_of(options) | settings, "figures": figures}
    path: Path = options.record
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


def test_what_is_done_is_not_done_again(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    path = _keep_figures(words)
    before = path.read_bytes()
    accuracy.main(words)
    assert path.read_bytes() == before
    text = capsys.readouterr().out
    assert "network: resnet10t; size: 64; batch: 8; epochs: 1; train: 16 images of 2 classes in images; " in text
    assert "| seed | this project | this project, plain | reference |" in text
    assert "| mean | 0.5000 | 0.5000 | 0.5000 |" in text


def test_sides_can_be_chosen(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    _keep_figures(words)
    accuracy.main([*words, "--sides", "plain", "reference"])
    assert "| seed | this project, plain | reference |" in capsys.readouterr().out


def test_a_record_of_other_settings_is_refused_with_what_differs(words: list[str]) -> None:
    path = _keep_figures(words, size=96, machine="another")
    before = path.read_bytes()
    with pytest.raises(SystemExit) as refused:
        accuracy.main(words)
    said = str(refused.value)
    assert "size: 96 in the record, 64 now" in said
    assert "machine: another in the record, Machine: " in said
    assert "batch" not in said
    assert "Next: name another file after --record" in said
    assert path.read_bytes() == before


def test_other_images_are_other_settings(words: list[str], tmp_path: Path) -> None:
    _keep_figures(words)
    make_classes(tmp_path / "images" / "more", 1, 1, 64, 64)
    with pytest.raises(
        SystemExit, match="train: 16 images of 2 classes in images in the record, 17 images of 3 classes in images now"
    ):
        accuracy.main(words)


def test_a_record_of_the_older_form_is_refused(words: list[str]) -> None:
    Path(words[-1]).write_text('{"this project, seed 1": 0.5}', encoding="utf-8")
    with pytest.raises(SystemExit, match="older form"):
        accuracy.main(words)


def test_the_plain_side_does_nothing_beside_the_steps(tmp_path: Path) -> None:
    plain = Task(
        tmp_path, tmp_path, tmp_path, "resnet10t", 64, 8, 1, computed_start=False, weights_average=False, refit=False
    )
    train = _spec(plain, tmp_path)["train"]
    assert isinstance(train, dict)
    assert train["embedder_start"] == "random"
    assert train["weights_average_decay"] == 0
    assert train["embedder_refit"] is False


@pytest.mark.long
def test_all_sides_train_and_are_kept(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    accuracy.main([*words, "--sides", "reference"])
    accuracy.main(words)
    figures = json.loads(Path(words[-1]).read_text(encoding="utf-8"))["figures"]
    assert list(figures) == ["reference, seed 3", "ours, seed 3", "plain, seed 3"]
    assert all(0 <= figure["precision_at_1"] <= 1 and figure["commit"] for figure in figures.values())
    assert capsys.readouterr().err.count("reference, seed 3: ") == 1
