"""Results go up as they change, and what is excluded stays."""

from pathlib import Path

import pytest

from tao_skill.storage.small import list_objects, read_bytes
from tao_skill.storage.upload import FolderUpload, is_excluded


@pytest.mark.parametrize(
    ("name", "patterns", "excluded"),
    [
        ("inputs/train/a.jpg", ["inputs/"], True),
        ("inputs/", ["inputs/"], True),
        ("train/inputs/a.jpg", ["inputs/"], True),
        ("my_inputs/a.jpg", ["inputs/"], False),
        ("inputs.txt", ["inputs/"], False),
        ("inputs", ["inputs/"], False),
        ("train/log.txt", ["*.txt"], True),
        ("train/log.txt", [], False),
    ],
)
def test_excluded(name: str, patterns: list[str], excluded: bool) -> None:
    assert is_excluded(name, patterns) is excluded


def names(uri: str) -> list[str]:
    return [one.name for one in list_objects(uri)]


def test_only_what_changed_is_sent(bucket: str, tmp_path: Path) -> None:
    folder, other = tmp_path / "job", tmp_path / "elsewhere"
    for path in ("job.json", "train/log.txt", "inputs/a.jpg", "train/.half.pth.1.tmp", ".job.lock"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    other.mkdir()
    (other / "model.pth").write_text("w")
    roots = [(folder, ""), (other, "train")]
    upload = FolderUpload(roots, f"{bucket}/results/1", ["inputs/"])
    outcome = upload.sync(held_back=["job.json"])
    assert names(f"{bucket}/results/1") == ["train/log.txt", "train/model.pth"]
    assert outcome.missing == ["job.json"]
    (folder / "train" / "log.txt").write_text("more and more")
    again = FolderUpload(roots, f"{bucket}/results/1", ["inputs/"])
    sent: list[str] = []
    real = again._send
    again._send = lambda name, path, progress: sent.append(name) or real(name, path, progress)  # type: ignore[method-assign, func-returns-value]
    assert again.sync(final=True).missing == []
    assert sorted(sent) == ["job.json", "train/log.txt"]
    assert read_bytes(f"{bucket}/results/1/train/log.txt") == b"more and more"
