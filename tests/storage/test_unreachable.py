"""Results whose server can't be reached when a job ends: told soon, with all that is missing and how to send it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.jobs.record import JobRecord
from tao_skill.run import publish
from tao_skill.run.publish import finish, folder_upload, leave
from tao_skill.run.publish_trials import publishing_trials, trials_left_behind
from tao_skill.run.remote_jobs import MirroredJobStore
from tao_skill.run.result import result_of
from tao_skill.storage.objects import SilentError, UnreachableError
from tao_skill.storage.upload import FolderUpload, Uploaded

ROOT = "s3://b/results"
AT_ONCE = 4


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("TAO_SKILL_STORAGE_TIMEOUT", "0.2")


@pytest.fixture
def asked(keys: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:  # noqa: ARG001
    """Give what a server was asked for that takes all and answers nothing."""
    targets: set[str] = set()
    held: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            held.append(client)
            threading.Thread(target=note, args=(client,), daemon=True).start()

    def note(client: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it is closed at the end
            _, *target = client.recv(65536).split(b" ", 2)
            targets.update(one.decode() for one in target[:1])

    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        threading.Thread(target=accept, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        yield targets
        listener.shutdown(socket.SHUT_RDWR)
    for client in held:
        client.close()


def test_of_a_silent_server_a_few_files_are_asked_and_small_ones_first(tmp_path: Path, asked: set[str]) -> None:
    (tmp_path / "a.pth").write_bytes(bytes(9000))
    for number in range(AT_ONCE):
        (tmp_path / f"{number}.txt").write_text("x")
    outcome = FolderUpload([(tmp_path, "")], f"{ROOT}/j").sync(final=True)
    assert isinstance(outcome.unreachable, SilentError)
    assert outcome.error
    assert len(outcome.missing) == AT_ONCE + 1
    assert asked
    assert not any("a.pth" in target for target in asked)


@pytest.mark.usefixtures("keys")
def test_one_that_refuses_is_not_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    (tmp_path / "1.txt").write_text("x")
    outcome = FolderUpload([(tmp_path, "")], f"{ROOT}/j").sync(final=True)
    assert type(outcome.unreachable) is UnreachableError


@pytest.fixture
def store(tmp_path: Path) -> MirroredJobStore:
    return MirroredJobStore(ROOT, tmp_path)


@pytest.fixture
def history(store: MirroredJobStore) -> SearchHistory:
    """Return a search of a few trials, each with two files and its record."""
    trials = [Trial(number=number, job_id=f"t{number}", origin="search", values={}, epochs=1) for number in range(5)]
    for trial in trials:
        folder = store.folder(trial.job_id)
        store.create(JobRecord(job_id=trial.job_id, skill="s", action="train", results_dir=str(folder)))
        (folder / "train").mkdir()
        for number in range(2):
            (folder / "train" / f"{number}.txt").write_text("x")
    return SearchHistory(
        job_id="s", skill="s", skill_dir="", algorithm="random", metric="m", direction="maximize", full_epochs=1,
        settings={}, space=[], started_at="", trials=trials,
    )  # fmt: skip


def check_told(store: MirroredJobStore, history: SearchHistory) -> None:
    """Look whether all that is missing is told, and how to send it."""
    for trial in history.trials:
        record = store.load(trial.job_id)
        assert record.upload is not None
        assert (record.upload.state, record.upload.files) == ("incomplete", 0)
        assert record.upload.missing == ["job.json", "train/0.txt", "train/1.txt"]
        assert f"jobs upload {trial.job_id} --results-root {ROOT}" in result_of(record).warnings[-1]
    (told,) = trials_left_behind(store, history)
    assert "5 trials" in told
    assert f"jobs upload JOB --results-root {ROOT}, where JOB is t0, t1, t2, t3, t4" in told


def test_what_is_left_is_told(store: MirroredJobStore, history: SearchHistory) -> None:
    assert trials_left_behind(store, history) == []
    for trial in history.trials:
        upload = folder_upload(store, store.load(trial.job_id), [])
        leave(store, trial.job_id, upload, [], SilentError("it is silent"))
    check_told(store, history)


class AwayAtFirst(FolderUpload):
    """Reaches its server only when the first attempts, which hold the record back, are over."""

    def sync(self, *, final: bool = False, held_back: Any = ()) -> Uploaded:
        if held_back:
            return self.untried(UnreachableError("it is away"))
        return super().sync(final=final)


def test_what_a_later_attempt_sends_is_not_missing(
    tmp_path: Path, bucket: str, s3_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "_WAITS", (0.0,))
    store = MirroredJobStore(f"{bucket}/results", tmp_path)
    store.create(JobRecord(job_id="j", skill="s", action="train", results_dir=str(store.folder("j"))))
    (store.folder("j") / "1.txt").write_text("x")
    finish(store, "j", AwayAtFirst([(store.folder("j"), "")], f"{bucket}/results/j"), [])
    sent = s3_server.client().get_object(Bucket=bucket[5:], Key="results/j/job.json")["Body"].read()
    for record in (store.load("j"), JobRecord.model_validate(json.loads(sent))):
        assert record.upload is not None
        assert (record.upload.state, record.upload.missing) == ("complete", [])


@pytest.mark.long
def test_after_the_first_trial_the_others_are_not_tried(
    store: MirroredJobStore, history: SearchHistory, asked: set[str]
) -> None:
    with publishing_trials(store, history, []):
        pass
    assert {target.split("/")[3] for target in asked} == {"t0"}
    check_told(store, history)
