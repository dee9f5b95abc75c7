"""Ask an OpenAI-compatible server for a chat completion: bounded in time and size, whatever the server does."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from tao_skill.automl.chat_settings import ChatSettings
from tao_skill.config.secrets import KEY_VARIABLE
from tao_skill.errors import JobError, Problem

__all__ = ["BadAnswer", "Chat"]

# An answer of 4,096 tokens takes some 16 kB.
_LARGEST_BODY = 1_000_000
_LARGEST_ERROR = 10_000
_TRY_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT = 60.0
_SHOWN = 200

# They tell in the log what a server says beside its answer, and a server may say the key.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

Message = Mapping[str, str]


class BadAnswer(Exception):  # noqa: N818  # no failure of the server: what it said can't be used
    """The server answered, but not with a chat completion of the size that was asked for."""


class _TryAgain(Exception):  # noqa: N818  # the caller does what it says
    """The server may answer later; after so many seconds, where it says so."""

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after


class Chat:
    """A server that was named in the settings; nothing is sent to any other."""

    def __init__(self, settings: ChatSettings) -> None:
        self._settings = settings

    def complete(self, messages: Sequence[Message]) -> str:
        """Return the text of the answer.

        Raises:
            BadAnswer: an answer that is too large, or no chat completion.
            JobError: the server can't be reached, refuses, or fails again and again.
        """
        settings = self._settings
        for attempt in range(settings.max_retries + 1):
            try:
                return asyncio.run(self._once(messages))
            except (_TryAgain, httpx.TransportError) as error:
                last = settings.without_key(str(error)) or type(error).__name__
                after = error.after if isinstance(error, _TryAgain) else None
            if attempt < settings.max_retries:
                time.sleep(min(settings.retry_delay * 2**attempt if after is None else after, _LONGEST_WAIT))
        times = "once" if settings.max_retries == 0 else f"{settings.max_retries + 1} times, the last with"
        raise self._failure(f"it failed {times}: {_shown(last)}")

    async def _once(self, messages: Sequence[Message]) -> str:
        """Ask once; the clock runs from the connection to the last byte, which a socket's own timeouts can't do."""
        settings = self._settings
        headers = {"Accept-Encoding": "identity"}
        if settings.key:
            headers["Authorization"] = f"Bearer {settings.key}"
        body = {
            "model": settings.model, "messages": list(messages), "temperature": settings.temperature,
            "max_tokens": settings.max_tokens, "stream": False,
        }  # fmt: skip
        try:
            # Redirects are not followed: the key and the history go where the user said, and nowhere else.
            async with (
                asyncio.timeout(settings.timeout),
                httpx.AsyncClient(timeout=settings.timeout, follow_redirects=False) as client,
                client.stream("POST", settings.url, json=body, headers=headers) as response,
            ):
                content = await (_read(response) if response.is_success else _beginning(response))
        except TimeoutError:
            raise _TryAgain(f"no whole answer came in {settings.timeout:g} s") from None
        self._check(response, content)
        return _text_of(content)

    def _check(self, response: httpx.Response, content: bytes) -> None:
        if response.is_success:
            return
        said = _shown(self._settings.without_key(content.decode("utf-8", errors="replace")))
        told = f"HTTP {response.status_code}" + (f": {said}" if said else "")
        if response.status_code in _TRY_AGAIN:
            raise _TryAgain(told, _retry_after(response))
        if response.is_redirect:
            raise self._failure(f"it redirects (HTTP {response.status_code}), which is not followed")
        raise self._failure(told)

    def _failure(self, what: str) -> JobError:
        return JobError(
            f"The language model can't be asked: {what}.",
            problems=[Problem("llm_endpoint", self._settings.url, "a server that answers chat completions")],
            next_step=f"look after the server, the model's name and {KEY_VARIABLE}; a search that broke off because of "
            "it goes on with `python -m tao_skill automl resume`",
        )


async def _read(response: httpx.Response) -> bytes:
    """Return the body as it was sent: what is compressed may be a thousand times as large."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise BadAnswer("its answer is compressed, which was not asked for")
    parts, size = [], 0
    async for part in response.aiter_raw():
        size += len(part)
        if size > _LARGEST_BODY:
            raise BadAnswer(f"its answer has more than {_LARGEST_BODY:,} bytes")
        parts.append(part)
    return b"".join(parts)


async def _beginning(response: httpx.Response) -> bytes:
    """Return how an error's body begins, as it was sent; nothing of one that is compressed."""
    said = b""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return said
    async for part in response.aiter_raw():
        said += part
        if len(said) > _LARGEST_ERROR:
            break
    return said[:_LARGEST_ERROR]


def _text_of(content: bytes) -> str:
    try:
        document: Any = json.loads(content)
        choice = document["choices"][0]
        text = choice["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise BadAnswer("its answer is no chat completion (choices[0].message.content)") from None
    if not isinstance(text, str) or not text.strip():
        reason = choice.get("finish_reason") if isinstance(choice, dict) else None
        cut = ": llm_max_tokens was used up" if reason == "length" else ""
        raise BadAnswer(f"its answer is empty{cut}")
    # Half of a surrogate pair, which JSON allows, can't be written or sent again.
    return text.encode("utf-8", errors="replace").decode()


def _retry_after(response: httpx.Response) -> float | None:
    try:
        seconds = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return None
    return max(0.0, seconds) if seconds < float("inf") else None


def _shown(text: str) -> str:
    """Return the beginning of a foreign text on one line, without what would control a terminal."""
    clean = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * _SHOWN])
    return " ".join(clean.split())[:_SHOWN]
