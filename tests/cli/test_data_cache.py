"""`data cache`: what was fetched and extracted, and what trainings decoded, is listed, checked and removed alike."""

import json
from pathlib import Path

import numpy as np
import pytest

from tao_skill.cli.main import main
from tao_skill.metric_learning.data.pack import Pack
from tao_skill.storage.entry_locks import release
from tao_skill.storage.stage import stage


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of one decoded image, beside which an archive was extracted."""
    import tarfile

    monkeypatch.setenv("TAO_SKILL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "1.jpg").write_bytes(b"x" * 100)
    with tarfile.open(tmp_path / "train.tar", "w") as archive:
        archive.add(tmp_path / "1.jpg", "train/a/1.jpg")
    stage(tmp_path / "train.tar")
    release()
    path = tmp_path / "cache" / "pixels" / "a.pixels"
    path.parent.mkdir()
    pack = Pack(path, 2, 3)
    pack.put(1, np.ones((30, 20, 3), np.uint8), 10**9)
    pack.close()
    return path


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, object]]:
    code = main(["data", "cache", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_decoded_images_are_looked_after_too(pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, listed = asked(capsys, "list")
    assert code == 0
    assert [one["kind"] for one in listed["entries"]] == ["archive"]  # type: ignore[attr-defined]
    (decoded,) = listed["pixels"]["entries"]  # type: ignore[index]
    assert (decoded["files"], decoded["bytes"]) == (1, pack.stat().st_size)
    assert asked(capsys, "verify") == (0, {"checked": 2, "damaged": [], "repaired": False})
    with pack.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x09")
    code, verified = asked(capsys, "verify")
    assert code != 0
    assert [one["path"] for one in verified["damaged"]] == [str(pack)]  # type: ignore[attr-defined]
    assert asked(capsys, "verify", "--repair")[0] == 0
    assert not pack.exists()


def test_what_is_damaged_and_in_use_is_not_called_repaired(pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = stage(pack.parents[2] / "train.tar")
    next(folder.rglob("*.jpg")).write_bytes(b"y")
    code, verified = asked(capsys, "verify", "--repair")
    assert code != 0
    assert not verified["repaired"]
    release()
    code, verified = asked(capsys, "verify", "--repair")
    assert (code, verified["repaired"], folder.exists()) == (0, True, False)


def test_prune_takes_them_by_their_last_use(pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, pruned = asked(capsys, "prune", "--to", str(pack.stat().st_size))
    assert code == 0
    assert [one["kind"] for one in pruned["removed"]] == ["archive"]  # type: ignore[attr-defined]
    assert pack.exists()
    _, pruned = asked(capsys, "prune")
    assert [(one["kind"], one["files"]) for one in pruned["removed"]] == [("pixels", 1)]  # type: ignore[attr-defined]
    assert not pack.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cache", "prune", "--unused-days", "-3"], "no number of days"),
        (["cache", "prune", "--unused-days", "nan"], "no number of days"),
        (["cache", "prune", "--unused-days", "soon"], "no number of days"),
        (["cache", "prune", "--to", "banana"], "no size"),
        (["stage", ""], "no URI"),
    ],
)
def test_what_makes_no_sense_is_refused(
    pack: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", *words]) != 0
    assert said in capsys.readouterr().err
    assert pack.exists()


def test_a_limit_that_is_none_stops_before_anything_is_staged(
    tmp_path: Path, pack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pack.exists()
    monkeypatch.setenv("TAO_SKILL_CACHE", str(tmp_path / "fresh"))
    monkeypatch.setenv("TAO_SKILL_CACHE_LIMIT", "much")
    assert main(["data", "stage", str(tmp_path / "train.tar"), str(tmp_path / "none.tar")]) != 0
    said = capsys.readouterr().err
    assert "TAO_SKILL_CACHE_LIMIT" in said
    assert "none.tar" in said
    assert not list((tmp_path / "fresh").rglob("*.jpg"))
