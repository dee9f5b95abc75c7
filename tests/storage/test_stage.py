"""Bringing inputs to where they can be read: in place, or extracted once."""

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from tao_skill.errors import NotAvailableError, StorageError
from tao_skill.storage.stage import is_archive, stage


def packed(path: Path, *names: str, content: bytes = b"x") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_folders_and_plain_files_stay_where_they_are(tmp_path: Path, cache: Path) -> None:
    model = tmp_path / "model.pth"
    model.write_bytes(b"PK")
    assert stage(tmp_path, cache) == tmp_path
    assert stage(model.as_uri(), cache) == model
    assert not cache.exists()


def test_an_archive_is_extracted_once(tmp_path: Path, cache: Path) -> None:
    archive = packed(tmp_path / "train.tar.gz", "a/1.jpg", "b/2.jpg")
    first = stage(archive, cache)
    assert sorted(path.name for path in first.iterdir()) == ["a", "b"]
    (first / "a" / "mark").write_text("")
    assert stage(archive.as_uri(), cache) == first
    assert (first / "a" / "mark").exists()
    assert stage(archive.parent / "." / archive.name, cache) == first


def test_a_changed_archive_is_extracted_anew(tmp_path: Path, cache: Path) -> None:
    archive = packed(tmp_path / "train.tar.gz", "a/1.jpg", "b/2.jpg")
    first = stage(archive, cache)
    packed(archive, "a/1.jpg", "c/2.jpg")
    os.utime(archive, (1, 1))
    second = stage(archive, cache)
    assert second != first
    assert (second / "c").is_dir()
    assert (first / "b").is_dir()


@pytest.mark.parametrize(
    ("names", "stripped"),
    [
        (["train/a/1.jpg", "train/b/2.jpg"], True),
        (["data set/a/1.jpg", "data set/b/2.jpg", "._data set", ".DS_Store"], True),
        (["train/1.jpg", "train/2.jpg"], True),  # named like the archive: a flat folder of images
        (["cat/1.jpg", "cat/2.jpg"], False),  # the only class
        (["a/1.jpg", "b/2.jpg"], False),
        (["train/a/1.jpg", "README.txt"], False),
        (["1.jpg"], False),
    ],
)
def test_one_top_folder_that_wraps_the_rest_is_stripped(
    tmp_path: Path, cache: Path, names: list[str], stripped: bool
) -> None:
    top = stage(packed(tmp_path / "train.tar.gz", *names), cache)
    seen = [name for name in names if "._" not in name and "DS_Store" not in name]
    wanted = [name.partition("/")[2] for name in seen] if stripped else seen
    assert all((top / name).is_file() for name in wanted)


def test_a_failure_leaves_no_folder_that_looks_done(tmp_path: Path, cache: Path) -> None:
    archive = packed(tmp_path / "train.tar.gz", "a/1.jpg", "../evil")
    for _ in range(2):
        with pytest.raises(StorageError, match=r"\.\./evil"):
            stage(archive, cache)
    assert [path for path in (cache / "staged").iterdir() if path.is_dir()] == []


def test_nothing_there(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(StorageError) as caught:
        stage(tmp_path / "no.tar.gz", cache)
    assert caught.value.problems[0].key == str(tmp_path / "no.tar.gz")
    packed(tmp_path / "not.tar.gz", "a/1")
    with pytest.raises(StorageError, match=r"nearest: .*not\.tar\.gz"):
        stage(tmp_path / "no.tar.gz", cache)
    with pytest.raises(NotAvailableError, match="ftp://"):
        stage("ftp://host/train.tar.gz", cache)


@pytest.mark.parametrize("name", ["a.7z", "a.tar.xz", "A.TAR.BZ2"])
def test_other_archives_are_named_as_such(tmp_path: Path, cache: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(StorageError, match="can't be read"):
        stage(tmp_path / name, cache)


def test_names_that_are_archives() -> None:
    assert all(map(is_archive, ("a.tar", "s3://b/a.TAR.GZ", "a.tgz", "http://h/a.zip?x=1")))
    assert not any(map(is_archive, ("a", "a.gz", "a.pth.tar.pth", "s3://b/a.gz")))


def test_a_strange_file_name(tmp_path: Path, cache: Path) -> None:
    assert (stage(packed(tmp_path / "[*] ü?.tar.gz", "a/1", "b/2"), cache) / "a" / "1").is_file()


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cache"):
        stage(packed(tmp_path / "a.tar.gz", "a/1"), tmp_path / "file")


PROGRAM = """
import sys, logging
from pathlib import Path
logging.basicConfig(level="INFO", stream=sys.stderr, format="%(message)s")
from tao_skill.storage.stage import stage
print("ready", flush=True)
sys.stdin.readline()
print(stage(sys.argv[1], Path(sys.argv[2])), flush=True)
"""


def staging(archive: Path, cache: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(archive), str(cache)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_processes_extract_once(tmp_path: Path, cache: Path) -> None:
    archive = packed(tmp_path / "a.tar.gz", *[f"c{i % 7}/{i}.jpg" for i in range(400)])
    both = [staging(archive, cache) for _ in range(2)]
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in both]
    assert answers[0][0] == answers[1][0]
    assert "".join(errors for _, errors in answers).count("staging ") == 1
    assert len(list(Path(answers[0][0].strip()).rglob("*.jpg"))) == 400


def test_kill_9_in_the_middle_leaves_nothing_that_counts(tmp_path: Path, cache: Path) -> None:
    archive = packed(tmp_path / "a.tar.gz", *[f"c{i % 7}/{i}.jpg" for i in range(1500)], content=b"1" * 2000)
    process = staging(archive, cache)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    end = time.monotonic() + 20
    while time.monotonic() < end and not list((cache / "staged").glob("*.partial/content/c*/*")):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    assert list((cache / "staged").glob("*.partial"))
    assert len(list(stage(archive, cache).rglob("*.jpg"))) == 1500
    assert not list((cache / "staged").glob("*.partial"))
