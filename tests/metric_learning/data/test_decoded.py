"""What was looked at is remembered, and forgotten when it is old."""

import os
from pathlib import Path

import pytest

from tao_skill.metric_learning.data.decoded import recall, remember


def test_files_that_vanish_meanwhile_keep_no_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAO_SKILL_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "decoded"
    folder.mkdir(parents=True)
    for number in range(8):  # listed, but no more there when it is asked how old it is
        (folder / f"{number}.json").symlink_to(tmp_path / "gone")
        (folder / f"old {number}.json").write_text("{}")
        os.utime(folder / f"old {number}.json", (1, 1))
    image = tmp_path / "1.png"
    image.write_bytes(b"")
    remember([image], {image: "0 bytes"})
    assert not list(folder.glob("old*"))
    assert recall([image]) == {image: "0 bytes"}
