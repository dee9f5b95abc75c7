"""Whole searches with a language model, through the runner: the key stays secret, clock and stop are heeded."""

from __future__ import annotations

import json
import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from automl_chat_server import KEY, ChatServer, Request, good  # loaded by conftest.py

from tao_skill.errors import JobError, SpecError
from tao_skill.jobs.record import JobStatus
from tao_skill.run.launch_search import resume_search
from tao_skill.run.make_plan import plan_run
from tao_skill.run.request import RunRequest
from tao_skill.run.results_root import open_store
from tao_skill.run.runner import run
from tao_skill.run.search_history import load_history


def request(tmp_path: Path, skill_dir: Path, **settings: Any) -> RunRequest:
    defaults = {"automl_algorithm": "llm", "automl_max_recommendations": 3, "automl_max_concurrent": 1}
    root = str(tmp_path / "results")
    return RunRequest(action="train", skill=str(skill_dir), results_root=root, automl=[defaults | settings])


def test_a_whole_search_with_a_model_writes_the_key_nowhere(
    chat_server: ChatServer, tmp_path: Path, skill_dir: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setenv("AUTOML_LLM_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    plan = plan_run(request(tmp_path, skill_dir))
    result = run(request(tmp_path, skill_dir))
    assert result.status == JobStatus.COMPLETE
    history = load_history(open_store(str(tmp_path / "results")).load(result.job_id))
    assert [trial.origin for trial in history.trials] == ["baseline", "language model", "language model"]
    assert all(held["Authorization"] == f"Bearer {KEY}" for held in chat_server.headers)
    written = [path.read_bytes() for path in (tmp_path / "results").rglob("*") if path.is_file()]
    assert not any(KEY.encode() in content for content in written)
    assert KEY not in caplog.text + plan.model_dump_json() + result.model_dump_json()


def test_a_search_whose_model_raves_ends_with_what_was_found(
    chat_server: ChatServer, tmp_path: Path, skill_dir: Path
) -> None:
    chat_server.answer = lambda request: request.propose(**{"fit.rate": "rm -rf /", "fit.kind": "<script>"})
    result = run(request(tmp_path, skill_dir))
    assert result.status == JobStatus.COMPLETE
    assert result.search is not None
    assert "5 invalid answers in a row" in result.search["end_reason"]
    assert any("llm_fallback" in warning for warning in result.warnings)


def test_a_search_whose_server_is_gone_is_resumed(chat_server: ChatServer, tmp_path: Path, skill_dir: Path) -> None:
    chat_server.answer = lambda request: request.send(403, b"no")
    with pytest.raises(JobError, match="HTTP 403"):
        run(request(tmp_path, skill_dir))
    store = open_store(str(tmp_path / "results"))
    search = next(record for record in store.list() if record.parent_job is None)
    assert search.status == JobStatus.ERROR
    assert len(load_history(search).trials) == 1
    chat_server.answer = good
    assert resume_search(store, search.job_id).status == JobStatus.COMPLETE
    assert len(load_history(store.load(search.job_id)).trials) == 3


def test_a_search_without_a_model_costs_nothing(
    tmp_path: Path, skill_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTOML_LLM_ENDPOINT", raising=False)
    with pytest.raises(SpecError, match="AUTOML_LLM_ENDPOINT"):
        run(request(tmp_path, skill_dir))
    assert not (tmp_path / "results").exists()


def test_a_server_that_repeats_the_key_gets_it_written_nowhere(
    chat_server: ChatServer, tmp_path: Path, skill_dir: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setenv("AUTOML_LLM_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)

    def answer(request: Request) -> None:
        header = request.handler.headers["Authorization"]
        values: dict[str, Any] = {"fit.rate": header, "fit.kind": KEY, KEY: 1, "x" * 70 + KEY: 1}
        text = json.dumps({"reason": KEY, "values": values})
        text = text.replace("sk-", "\\u0073k-") if request.number % 2 else text
        message = {"role": "assistant", "content": text}
        content = json.dumps({"choices": [{"message": message}]}).encode()
        request.handler.send_response(200, KEY)
        request.handler.send_header("X-Key", KEY)
        request.handler.send_header("Content-Length", str(len(content)))
        request.handler.end_headers()
        request.handler.wfile.write(content)

    chat_server.answer = answer
    result = run(request(tmp_path, skill_dir))
    assert result.status == JobStatus.COMPLETE
    written = [path.read_bytes() for path in (tmp_path / "results").rglob("*") if path.is_file()]
    assert any(b"fit.rate is 'Bearer ***'" in content for content in written)
    assert not any(b"very-secret" in content for content in written)
    assert "very-secret" not in caplog.text + result.model_dump_json()


@pytest.mark.parametrize("policy", ["on", "off"])
def test_no_training_has_the_key_in_its_environment(
    tmp_path: Path, skill_dir: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    monkeypatch.setenv("AUTOML_LLM_API_KEY", KEY)
    monkeypatch.setenv("SOME_VARIABLE", "some value")
    script = skill_dir / "scripts" / "train.py"
    script.write_text(script.read_text() + "print(dict(os.environ), flush=True)\n")
    asked = request(tmp_path, skill_dir, automl_algorithm="random", automl_max_recommendations=1)
    result = run(asked.model_copy(update={"automl_policy": policy, "automl": asked.automl if policy == "on" else []}))
    assert result.status == JobStatus.COMPLETE
    written = [path.read_bytes() for path in (tmp_path / "results").rglob("*") if path.is_file()]
    assert any(b"some value" in content for content in written)
    assert not any(KEY.encode() in content for content in written)


def test_the_clock_runs_on_while_the_model_thinks(chat_server: ChatServer, tmp_path: Path, skill_dir: Path) -> None:
    answers = threading.Event()

    def answer(request: Request) -> None:
        del request
        answers.wait(60)

    chat_server.answer = answer
    begin = time.monotonic()
    result = run(request(tmp_path, skill_dir, automl_max_minutes=0.05))
    assert time.monotonic() - begin < 30
    answers.set()
    assert result.status == JobStatus.COMPLETE
    assert result.search is not None
    assert "wall clock" in result.search["end_reason"]


def test_a_search_is_stopped_while_the_model_thinks(chat_server: ChatServer, tmp_path: Path, skill_dir: Path) -> None:
    answers = threading.Event()
    store = open_store(str(tmp_path / "results"))

    def answer(request: Request) -> None:
        del request
        search = next(record for record in store.list() if record.parent_job is None)
        store.update(search.job_id, status=JobStatus.CANCELED, reason="somebody")  # as `automl stop` does at first
        answers.wait(60)

    chat_server.answer = answer
    begin = time.monotonic()
    result = run(request(tmp_path, skill_dir))
    assert time.monotonic() - begin < 30
    answers.set()
    assert result.status == JobStatus.CANCELED
    assert len(load_history(store.load(result.job_id)).trials) == 1
