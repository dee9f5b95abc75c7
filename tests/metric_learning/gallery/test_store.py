"""The folder of a gallery: whole or not changed, one writer at a time, damage named."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tao_skill.errors import DataError, StorageError
from tao_skill.metric_learning.gallery.store import (
    Contents,
    Entry,
    ModelOfGallery,
    change_gallery,
    read_entries,
    read_gallery,
    read_model,
)

MODEL = ModelOfGallery("abc", 4, "/models/best.pth", {"distance": 0.5})


def contents(*names: str) -> Contents:
    entries = [Entry(name.partition("/")[0], f"/images/{name}", f"sha of {name}") for name in names]
    return Contents.of(MODEL, entries, np.array([[len(name), 1, 2, 3] for name in names], np.float32).reshape(-1, 4))


def put(folder: Path, *names: str) -> Contents:
    new = change_gallery(folder, lambda _: contents(*names))
    assert new is not None
    return new


def test_what_is_written_is_read_again_sorted(tmp_path: Path) -> None:
    written = put(tmp_path / "new" / "g", "b/1.png", "a/22.png", "a/1.png")
    found = read_gallery(tmp_path / "new" / "g")
    assert [entry.path for entry in found.entries] == ["/images/a/1.png", "/images/a/22.png", "/images/b/1.png"]
    assert found.embeddings[:, 0].tolist() == [7, 8, 7]
    assert found.embeddings.dtype == np.float32
    assert found.model == read_model(tmp_path / "new" / "g") == MODEL
    assert found.entries == written.entries == read_entries(tmp_path / "new" / "g")
    assert found.classes() == {"a": 2, "b": 1}
    assert found.version != ""


def test_a_change_leaves_no_file_of_the_version_before(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png")
    (tmp_path / "index-0123456789ab.faiss").write_text("of another version")
    (tmp_path / ".embeddings-ba9876543210.npy.1.tmp").write_text("of a killed process")
    (tmp_path / ".gallery.json.77.tmp").write_text("of a killed process")
    put(tmp_path, "a/1.png", "b/1.png")
    assert len([path for path in tmp_path.iterdir() if path.name != ".gallery.lock"]) == 3


def test_files_of_others_in_the_same_folder_stay(tmp_path: Path) -> None:
    names = [
        "embeddings-resnet.npy", "embeddings-0123456789ab.npy.bak", "entries-old.csv", "index-2024.html",
        "index-0123456789abc.faiss", ".x.tmp", ".notes.txt.1.tmp", ".gallery.json.tmp", ".lock",
    ]  # fmt: skip
    for name in names:
        (tmp_path / name).write_text("mine")
    put(tmp_path, "a/1.png")
    put(tmp_path, "a/1.png", "b/1.png")
    assert [name for name in names if (tmp_path / name).read_text() != "mine"] == []


def test_a_change_that_fails_or_says_no_changes_nothing(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png")

    def fail(_old: Contents | None) -> Contents:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        change_gallery(tmp_path, fail)
    assert change_gallery(tmp_path, lambda _: None) is None
    assert len(read_gallery(tmp_path).entries) == 1


def test_file_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    name = os.fsdecode(b"a/caf\xe9.png")
    assert put(tmp_path, name).entries[0].path == f"/images/{name}"


@pytest.mark.parametrize("part", ["gallery.json", "embeddings-*.npy", "entries-*.jsonl"])
@pytest.mark.parametrize("damage", ["gone", "cut", "empty"])
def test_damage_is_named(tmp_path: Path, part: str, damage: str) -> None:
    put(tmp_path, "a/1.png", "b/1.png")
    (path,) = tmp_path.glob(part)
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: -20 if damage == "cut" else 0])
    with pytest.raises(DataError) as caught:
        read_gallery(tmp_path, "inference.gallery")
    assert "gallery build" in caught.value.next_step
    assert caught.value.problems[0].key == "inference.gallery"


def test_a_gallery_of_another_format_is_not_guessed_at(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png")
    manifest = json.loads((tmp_path / "gallery.json").read_text())
    (tmp_path / "gallery.json").write_text(json.dumps(manifest | {"format_version": 2}))
    with pytest.raises(DataError, match="format is 2"):
        read_gallery(tmp_path)


def test_another_models_gallery_is_refused(tmp_path: Path) -> None:
    found = put(tmp_path, "a/1.png")
    found.check_model("abc", tmp_path, "evaluate.gallery")
    with pytest.raises(DataError, match="built with another model") as caught:
        found.check_model("other", tmp_path, "evaluate.gallery")
    assert caught.value.problems[0].key == "evaluate.gallery"


def test_a_folder_that_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be written"):
        change_gallery(tmp_path / "file" / "g", lambda _: contents("a/1.png"))


def append(folder: Path, number: int) -> None:
    def change(old: Contents | None) -> Contents:
        names = [entry.path.removeprefix("/images/") for entry in old.entries] if old else []
        return contents(*names, f"c/{number}.png")

    change_gallery(folder, change)


def test_of_many_processes_no_change_is_lost(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=append, args=(tmp_path, number)) for number in range(8)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        if (tmp_path / "gallery.json").exists():
            found = read_gallery(tmp_path)  # readers see one whole version all the while
            assert len(found.entries) == len(found.embeddings)
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert len(read_gallery(tmp_path).entries) == 8


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_store
from tao_skill.metric_learning.gallery import store

original = store.replacing
def slow(path):
    if path.name == "gallery.json":
        print("writing", flush=True)
        time.sleep(60)
    return original(path)
store.replacing = slow
test_store.put(Path(sys.argv[1]), "b/1.png", "b/2.png")
"""


def test_killed_in_the_middle_of_a_change_the_old_gallery_is_whole(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png")
    program = KILLED.format(tests=str(Path(__file__).parent))
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
    assert [entry.label for entry in read_gallery(tmp_path).entries] == ["a"]
    assert len(list(tmp_path.glob("embeddings-*"))) == 2
    begin = time.monotonic()
    put(tmp_path, "c/1.png")  # the dead process's lock is no hindrance, its files are removed
    assert time.monotonic() - begin < 30
    assert len(list(tmp_path.glob("embeddings-*"))) == 1
