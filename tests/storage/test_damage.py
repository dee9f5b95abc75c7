"""What is no archive is told from one that is damaged."""

from pathlib import Path

import pytest

from tao_skill.errors import StorageError
from tao_skill.storage.stage import stage


@pytest.mark.parametrize("content", [b"", b"hello", b"<html>" + b" " * 2000, b"version https://git-lfs.github.com"])
def test_what_is_no_archive_is_called_so(tmp_path: Path, content: bytes) -> None:
    archive = tmp_path / "train.tar.gz"
    archive.write_bytes(content)
    with pytest.raises(StorageError, match="empty or no archive") as caught:
        stage(str(archive), tmp_path / "cache")
    assert caught.value.next_step.startswith(f"file {archive}")
