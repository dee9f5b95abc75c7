"""What is removed from the cache, while other processes may do the same or begin anew."""

import fcntl
import os
import shutil
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tao_skill.errors import StorageError
from tao_skill.storage.cache_care import entries, prune, verify
from tao_skill.storage.entries import Entry
from tao_skill.storage.entry_locks import locks_in_use, release
from tao_skill.storage.stage import stage


def is_locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def test_a_leftover_goes_while_nobody_can_go_on_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / "staged" / "train-0123.kept.partial"
    (left / "content").mkdir(parents=True)
    found: list[bool] = []
    remove = shutil.rmtree

    def looking(path: Path, **options: Any) -> None:
        found.append(is_locked(left.with_name("train-0123.lock")))
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", looking)
    assert prune(tmp_path) == ([], 1)
    assert found == [True]
    assert not left.exists()


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    """Return an entry that nobody uses."""
    (tmp_path / "1.jpg").write_bytes(b"x")
    with tarfile.open(tmp_path / "train.tar", "w") as archive:
        archive.add(tmp_path / "1.jpg", "train/a/1.jpg")
    stage(tmp_path / "train.tar", tmp_path / "cache")
    release()
    (entry,) = entries(tmp_path / "cache")
    return entry


def test_an_entry_that_another_process_removed_meanwhile(entry: Entry) -> None:
    shutil.rmtree(entry.folder)
    assert not entry.remove()
    assert not entry.use()


def test_who_comes_while_an_entry_is_removed_does_not_get_it(entry: Entry, tmp_path: Path) -> None:
    with (entry.folder / ".used").open("r+") as file, ThreadPoolExecutor(1) as pool:
        fcntl.flock(file, fcntl.LOCK_EX)
        used = pool.submit(entry.use)
        time.sleep(0.1)  # so that it waits for the lock
        entry.folder.rename(tmp_path / "removed")
        file.close()
        assert not used.result(timeout=10)
    assert locks_in_use() == []
    assert stage(tmp_path / "train.tar", tmp_path / "cache").is_dir()
    assert is_locked(entry.folder / ".used")
    release()


def test_what_another_process_uses_is_not_made_anew_under_it(entry: Entry, tmp_path: Path) -> None:
    with (entry.folder / ".used").open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        (entry.content / ".DS_Store").write_bytes(b"")  # no change that matters
        assert stage(tmp_path / "train.tar", tmp_path / "cache").is_dir()
        assert [finding.problems for finding in verify(tmp_path / "cache")] == [[]]
        (entry.content / "more").mkdir()
        with pytest.raises(StorageError, match="it is in use"):
            stage(tmp_path / "train.tar", tmp_path / "cache")
        assert list(entry.content.rglob("*.jpg"))
    assert stage(tmp_path / "train.tar", tmp_path / "cache").is_dir()
    assert not (entry.content / "more").exists()
    assert is_locked(entry.folder / ".used")
    release()
