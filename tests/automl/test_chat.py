"""Asking a language model over real sockets, however well it answers; and where the settings for that come from."""

from __future__ import annotations

import gzip
import json
import time
from typing import Any

import pytest
from automl_chat_server import KEY, ChatServer, Request, serve  # loaded by conftest.py

from tao_skill.automl.chat import BadAnswer, Chat
from tao_skill.automl.chat_settings import ChatSettings, chat_settings
from tao_skill.config.automl import AutoML
from tao_skill.config.automl_settings import read_settings
from tao_skill.errors import JobError, SpecError


def chat(server: ChatServer, **changes: Any) -> Chat:
    return Chat(ChatSettings(f"{server.url}/chat/completions", "tiny", **{"retry_delay": 0.01} | changes))


HELLO = [{"role": "user", "content": "hello"}]


class TestServer:
    def test_the_protocol(self) -> None:
        with serve(lambda request: request.say("hi")) as server:
            assert chat(server, key=KEY, temperature=0.1, max_tokens=77).complete(HELLO) == "hi"
        assert server.paths == ["/v1/chat/completions"]
        assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
        assert server.requests == [
            {"model": "tiny", "messages": HELLO, "temperature": 0.1, "max_tokens": 77, "stream": False}
        ]

    def test_half_of_a_surrogate_pair_is_no_letter(self) -> None:
        with serve(lambda request: request.say("a cut emoji: \ud83d")) as server:
            answer = chat(server).complete(HELLO)
            assert answer == "a cut emoji: ?"
            chat(server).complete([*HELLO, {"role": "assistant", "content": answer}])

    def test_without_a_key_none_is_sent(self) -> None:
        with serve(lambda request: request.say("hi")) as server:
            chat(server).complete(HELLO)
        assert "Authorization" not in server.headers[0]

    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
    def test_a_failure_that_passes_is_waited_for(self, status: int) -> None:
        def answer(request: Request) -> None:
            if request.number < 3:
                request.send(status, b"later", Retry_After="0")
            else:
                request.say("hi")

        with serve(answer) as server:
            assert chat(server, retry_delay=50.0).complete(HELLO) == "hi"

    def test_a_failure_that_stays_is_told(self) -> None:
        with serve(lambda request: request.send(500, b"on \x1b[31mfire")) as server:
            with pytest.raises(JobError, match=r"failed 3 times, the last with: HTTP 500: on +\[31mfire"):
                chat(server, max_retries=2).complete(HELLO)
            assert len(server.requests) == 3

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
    def test_a_refusal_is_told_at_once_and_without_the_key(self, status: int) -> None:
        with serve(lambda request: request.send(status, f"wrong key {KEY}".encode())) as server:
            with pytest.raises(JobError, match=f"HTTP {status}: wrong key") as caught:
                chat(server, key=KEY).complete(HELLO)
            assert len(server.requests) == 1
        assert KEY not in f"{caught.value}{caught.value.document()}{caught.value.__cause__!r}"

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_redirects_are_not_followed(self, status: int) -> None:
        with serve() as elsewhere:
            away = f"{elsewhere.url}/chat/completions"
            with (
                serve(lambda request: request.send(status, b"", Location=away)) as server,
                pytest.raises(JobError, match="redirects"),
            ):
                chat(server, key=KEY).complete(HELLO)
            assert elsewhere.requests == []

    def test_a_huge_answer_is_not_read_to_its_end(self) -> None:
        sent = []

        def answer(request: Request) -> None:
            request.handler.send_response(200)
            request.handler.end_headers()
            for _ in range(10_000):  # 10 GB, if anybody took them
                request.handler.wfile.write(b"x" * 1_000_000)
                sent.append(1)

        with serve(answer) as server, pytest.raises(BadAnswer, match="more than 1,000,000 bytes"):
            chat(server).complete(HELLO)
        assert len(sent) < 100

    def test_a_compressed_answer_is_not_unpacked(self) -> None:
        bomb = gzip.compress(b"0" * 10_000_000)
        with (
            serve(lambda request: request.send(200, bomb, Content_Encoding="gzip")) as server,
            pytest.raises(BadAnswer, match="compressed"),
        ):
            chat(server).complete(HELLO)

    @pytest.mark.parametrize("body", [gzip.compress(b"busy"), b"x" * 2_000_000], ids=["compressed", "large"])
    def test_a_failure_is_one_whatever_its_body(self, body: bytes) -> None:
        def answer(request: Request) -> None:
            if request.number == 1:
                headers = {"Content_Encoding": "gzip"} if len(body) < 1000 else {}
                request.send(503, body, Retry_After="0", **headers)
            else:
                request.say("hello")

        with serve(answer) as server:
            assert chat(server).complete(HELLO) == "hello"

    @pytest.mark.parametrize("part", ["headers", "body", "nothing"])
    def test_a_slow_answer_is_given_up(self, part: str) -> None:
        def answer(request: Request) -> None:
            if part == "body":
                request.handler.send_response(200)
                request.handler.end_headers()
            if part == "headers":
                request.handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            for _ in range(100):  # a little from time to time, so that no single wait is long
                time.sleep(0.1)
                if part != "nothing":
                    request.handler.wfile.write(b"y")

        begin = time.monotonic()
        with serve(answer) as server, pytest.raises(JobError, match=r"no whole answer came in 0\.5 s"):
            chat(server, timeout=0.5, max_retries=0).complete(HELLO)
        assert time.monotonic() - begin < 9  # the server would take 10 s

    @pytest.mark.parametrize(
        "content",
        [b"", b"<html>", b"{}", b'{"choices": []}', b'{"choices": [{"message": {"content": null}}]}', b"[" * 50_000,
         b'{"choices": [{"message": {"content": 7}}]}', b'{"choices": {"0": 1}}', b"\xff\xfe\x00"],
    )  # fmt: skip
    def test_what_is_no_completion_is_told(self, content: bytes) -> None:
        with serve(lambda request: request.send(200, content)) as server, pytest.raises(BadAnswer):
            chat(server).complete(HELLO)

    def test_an_answer_that_was_cut_says_so(self) -> None:
        cut = json.dumps({"choices": [{"message": {"content": ""}, "finish_reason": "length"}]}).encode()
        with serve(lambda request: request.send(200, cut)) as server, pytest.raises(BadAnswer, match="llm_max_tokens"):
            chat(server).complete(HELLO)

    def test_nobody_listens(self) -> None:
        with serve() as server:
            pass
        with pytest.raises(JobError, match="can't be asked"):
            chat(server, max_retries=1).complete(HELLO)


class TestSettings:
    def test_settings_come_before_the_environment(self) -> None:
        held = {"AUTOML_LLM_ENDPOINT": "http://a/v1/", "AUTOML_LLM_MODEL": "m", "AUTOML_LLM_TEMPERATURE": "0.1",
                "AUTOML_LLM_MAX_TOKENS": "100", "AUTOML_LLM_TIMEOUT": "5", "AUTOML_LLM_MAX_RETRIES": "1",
                "AUTOML_LLM_RETRY_DELAY": "0.5", "AUTOML_LLM_API_KEY": KEY}  # fmt: skip
        found = chat_settings(read_settings({"llm_model": "own", "llm_temperature": 1.5}), held)
        assert found == ChatSettings("http://a/v1/chat/completions", "own", 1.5, 100, 5.0, 1, 0.5, KEY)
        assert KEY not in repr(found)

    def test_all_that_is_wrong_is_told_at_once(self) -> None:
        held = {"AUTOML_LLM_TIMEOUT": "soon", "AUTOML_LLM_MAX_TOKENS": "1.5", "AUTOML_LLM_API_KEY": f"{KEY}\n{KEY}"}
        with pytest.raises(SpecError) as caught:
            chat_settings(AutoML(), held)
        assert [problem.key for problem in caught.value.problems] == [
            "llm_endpoint", "llm_model", "AUTOML_LLM_MAX_TOKENS", "AUTOML_LLM_TIMEOUT", "AUTOML_LLM_API_KEY",
        ]  # fmt: skip
        assert KEY not in str(caught.value)

    @pytest.mark.parametrize(
        "url", [f"http://me:{KEY}@h/v1", f"https://h/v1?key={KEY}", "ftp://h/v1", "h:80", "http://"]
    )
    def test_an_endpoint_is_a_plain_url(self, url: str) -> None:
        with pytest.raises(SpecError, match="base URL") as caught:
            chat_settings(AutoML(llm_endpoint=url, llm_model="m"), {})
        assert KEY not in str(caught.value)

    @pytest.mark.parametrize("name", ["llm_api_key", "automl_llm_api_key", "api_key", "LLM_API_KEY"])
    def test_the_key_is_no_setting(self, name: str) -> None:
        with pytest.raises(SpecError, match="AUTOML_LLM_API_KEY") as caught:
            read_settings({name: KEY})
        assert KEY not in str(caught.value)
