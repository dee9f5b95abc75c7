"""What TensorBoard and Weights & Biases are told of a real training, and that their failures cost nothing."""

import json
import logging
import os
import pty
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tao_skill.config.keys import nest
from tao_skill.config.yaml_text import dump_yaml
from tao_skill.metric_learning.actions import run_action
from tao_skill.metric_learning.training import tracking

MONITOR = "val Precision at Rank 1"
SECRET = "planted-secret-5f1c"


def train(spec: dict[str, Any], folder: Path, **changes: Any) -> dict[str, Any]:
    flat = spec | {key.replace("__", "."): value for key, value in changes.items()}
    return run_action("train", nest(flat), results_dir=folder)


def kpis(folder: Path) -> list[dict[str, Any]]:
    story = [json.loads(line) for line in (folder / "train" / "status.json").read_text().splitlines()]
    return [line["kpi"] for line in story if "epoch" in line]


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def train_outside(spec: dict[str, Any], folder: Path, *, in_terminal: bool = False, **environment: str) -> str:
    """Train in a process of its own, which finds no key but those given, and return what it said."""
    pytest.importorskip("wandb")
    folder.mkdir()
    (folder / "spec.yaml").write_text(dump_yaml(nest(spec | {"results_dir": str(folder)})))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    home = {"HOME": str(folder.parent), "NETRC": str(folder.parent / "netrc")}
    command = [sys.executable, "-m", "tao_skill.cli.ml_recog", "train", "-e", str(folder / "spec.yaml")]
    said, code = (_of_terminal if in_terminal else _of_pipe)(command, kept | home | environment)
    assert code == 0, said
    return said


def _of_pipe(command: list[str], environment: dict[str, str]) -> tuple[str, int]:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stderr, done.returncode


def _of_terminal(command: list[str], environment: dict[str, str]) -> tuple[str, int]:
    """Run a program in a terminal at which nobody sits, and end it where it waits for somebody."""
    ours, theirs = pty.openpty()
    environment = environment | {"TERM": "xterm"}
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        said = b""
        while select.select([ours], [], [], 60)[0]:
            try:
                said += os.read(ours, 65536)
            except OSError:  # the program has ended, and its terminal with it
                break
        else:
            process.kill()
        code = process.wait()
    os.close(ours)
    return said.decode(errors="replace"), code


@pytest.fixture
def refusing_server() -> Iterator[str]:
    """Return the address of a server that refuses every key."""

    class Refuse(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(401)
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - a name of the standard library

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuse)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_tensorboard_gets_the_numbers_of_the_status(spec: dict[str, Any], tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(spec, tmp_path, encryption_key=SECRET)
    events = event_accumulator.EventAccumulator(str(tmp_path / "train"))
    events.Reload()
    told = kpis(tmp_path)
    values = [event.value for event in events.Scalars("val_Precision_at_Rank_1")]
    assert values[1:] == pytest.approx([kpi[MONITOR] for kpi in told])
    assert len(values) == 3  # and that of the start
    assert [event.value for event in events.Scalars("train_loss")] == pytest.approx([kpi["train_loss"] for kpi in told])
    assert SECRET.encode() not in everything_in(tmp_path)


def test_run_without_a_key_is_kept_offline(spec: dict[str, Any], tmp_path: Path) -> None:
    settings = {"wandb.name": "stripes", "wandb.tags": ["tiny"], "wandb.group": "tests", "train.num_epochs": 1}
    folder = tmp_path / "results"
    said = train_outside(spec | settings, folder)
    assert [line for line in said.splitlines() if "Biases" in line or "wandb" in line] == [
        f"Weights & Biases keeps this run offline, in {folder / 'train' / 'wandb'}: No API key configured. "
        "Use `wandb login` to log in."
    ]
    (kept,) = folder.glob("train/wandb/offline-run-*/run-*.wandb")
    content = kept.read_bytes()
    assert all(word.encode() in content for word in ("stripes", "tiny", "tests", MONITOR, "train_loss"))
    run_id = (folder / "train" / "wandb_run.txt").read_text().strip()
    assert kept.stem == f"run-{run_id}"


def test_nobody_is_asked_for_a_key(spec: dict[str, Any], tmp_path: Path) -> None:
    said = train_outside(spec | {"train.num_epochs": 1}, tmp_path / "results", in_terminal=True)
    assert "No API key configured" in said
    assert list(tmp_path.glob("results/train/wandb/offline-run-*/run-*.wandb"))


def test_refused_key_keeps_the_run_offline_and_no_secret_is_written(
    spec: dict[str, Any], tmp_path: Path, refusing_server: str
) -> None:
    key = "0123456789" * 4
    settings = {"encryption_key": SECRET, "train.num_epochs": 1}
    said = train_outside(spec | settings, tmp_path / "results", WANDB_API_KEY=key, WANDB_BASE_URL=refusing_server)
    assert list((tmp_path / "results").glob("train/wandb/offline-run-*"))
    (tmp_path / "results" / "spec.yaml").unlink()  # it is the test's own
    assert not [word for word in (key, SECRET) if word in said or word.encode() in everything_in(tmp_path)]


def test_tracking_that_is_not_wanted_writes_nothing(spec: dict[str, Any], tmp_path: Path) -> None:
    said = train_outside(spec | {"wandb.enable": False, "train.num_epochs": 1}, tmp_path / "results")
    assert "Biases" not in said
    assert not list(tmp_path.rglob("*wandb*"))


def test_missing_packages_are_no_trouble(
    spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with caplog.at_level(logging.INFO):
        assert train(spec, tmp_path, train__num_epochs=1)["status"] == "COMPLETE"
    assert not [record for record in caplog.records if "TensorBoard" in record.message or "Biases" in record.message]


def test_tracker_that_breaks_is_named_once_and_left_alone(
    spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tracking._TensorBoard, "scalars", full)
    assert train(spec, tmp_path)["status"] == "COMPLETE"
    said = [record.message for record in caplog.records if "TensorBoard" in record.message]
    assert said == ["TensorBoard is not told any more: [Errno 28] No space left on device"]
