"""Links: http and https, through httpx; they can be read, not listed and not written."""

import functools
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tao_skill.errors import NotAvailableError, Problem, StorageError
from tao_skill.storage.locate import name_of, redact
from tao_skill.storage.objects import Checksum, DeniedError, ObjectFacts, TransferError
from tao_skill.storage.s3_client import QUIET_LOGGERS, timeout_seconds

__all__ = ["WebStore"]

_PIECE = 1024 * 1024
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_PLAIN = {"Accept-Encoding": "identity"}


class WebStore:
    """``http://`` and ``https://``."""

    def find(self, uri: str) -> ObjectFacts | None:
        # A presigned link is signed for GET alone, so HEAD would be refused: ask for the first byte.
        with _answer(uri, {"Range": "bytes=0-0"}) as answer:
            if answer.status_code in (404, 410):
                return None
            if answer.status_code == 416:
                return _facts(uri, answer, 0, ranges=False)
            _check(uri, answer)
            if answer.status_code == 206:
                match = _RANGE.match(answer.headers.get("content-range", ""))
                size = int(match[3]) if match and match[3].isdigit() else None
                return _facts(uri, answer, size, ranges=size is not None)
            length = answer.headers.get("content-length", "")
            return _facts(uri, answer, int(length) if length.isdigit() else None, ranges=False)

    def list(self, uri: str, limit: int | None = None) -> list[ObjectFacts]:  # noqa: ARG002
        raise _cannot(uri, "listed", "a link to one file or archive")

    @contextmanager
    def read(self, facts: ObjectFacts, start: int, end: int | None) -> Iterator[Iterator[bytes]]:
        if facts.size == 0 or (end is not None and end <= start):
            yield iter(())
            return
        headers = {"Range": f"bytes={start}-{'' if end is None else end - 1}"} if facts.ranges else {}
        if facts.ranges and facts.etag and not facts.etag.startswith("W/"):
            headers["If-Range"] = facts.etag
        with _answer(facts.uri, headers) as answer:
            _check(facts.uri, answer)
            if facts.etag and answer.headers.get("etag", "") != facts.etag:
                raise _changed(facts.uri)
            if facts.ranges:
                _check_part(facts, answer, start)
            elif facts.size is not None and answer.headers.get("content-length") not in (None, str(facts.size)):
                raise _changed(facts.uri)
            yield answer.iter_raw(_PIECE)

    def write(self, source: Path, uri: str) -> None:  # noqa: ARG002
        raise _cannot(uri, "written to", "a folder or s3://")


@functools.cache
def _client(timeout: float) -> httpx.Client:
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    limits = httpx.Limits(max_connections=32)
    return httpx.Client(follow_redirects=True, timeout=timeout, limits=limits, headers=_PLAIN)


@contextmanager
def _answer(uri: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
    try:
        with _client(timeout_seconds()).stream("GET", uri, headers=headers) as answer:
            yield answer
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
        raise _error(uri, f"the link can't be followed: {type(error).__name__}", "a working link") from error
    except httpx.ConnectError as error:
        raise _passing(uri, "the server can't be reached") from error
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise _passing(uri, f"the connection broke: {type(error).__name__}") from error


def _check(uri: str, answer: httpx.Response) -> None:
    status = answer.status_code
    if status in (200, 206):
        return
    if status in (408, 425, 429) or status >= 500:
        raise _passing(uri, f"the server answered {status}")
    if status in (401, 403):
        raise _error(uri, f"access denied ({status}); a signed link may have expired", "a fresh link", DeniedError)
    if status in (404, 410):
        raise _error(uri, "it is not there (any more)", "an existing file")
    raise _error(uri, f"the server answered {status}", "an answer that can be understood")


def _check_part(facts: ObjectFacts, answer: httpx.Response, start: int) -> None:
    """Look whether an answer is the part that was asked for, of the same file: HTTP has no sums to tell it later."""
    match = _RANGE.match(answer.headers.get("content-range", ""))
    if answer.status_code != 206 or (match and match[3] not in ("*", str(facts.size))):
        raise _changed(facts.uri)
    if facts.modified and not facts.etag and answer.headers.get("last-modified") != facts.modified:
        raise _changed(facts.uri)
    if match is None or int(match[1]) != start:
        raise _error(facts.uri, "the server sent another part than it was asked for", "a server that keeps to ranges")


def _facts(uri: str, answer: httpx.Response, size: int | None, *, ranges: bool) -> ObjectFacts:
    headers = answer.headers
    etag = headers.get("etag", "")
    return ObjectFacts(
        uri,
        name_of(uri),
        size,
        etag=etag,
        modified=headers.get("last-modified", ""),
        version=headers.get("x-amz-version-id", ""),
        checksum=_checksum(headers, etag.strip('"')),
        ranges=ranges,
    )


def _checksum(headers: httpx.Headers, etag: str) -> Checksum | None:
    stated = headers.get("x-amz-meta-tao-sha256", "")
    if re.fullmatch(r"[0-9a-f]{64}", stated):
        return Checksum("sha256", stated)
    # Only of S3 it is known that an ETag of this form is an MD5 sum.
    from_s3 = "x-amz-request-id" in headers or "x-amzn-requestid" in headers
    encrypted = headers.get("x-amz-server-side-encryption", "").startswith("aws:kms")
    if from_s3 and not encrypted and re.fullmatch(r"[0-9a-f]{32}", etag):
        return Checksum("md5", etag)
    return None


def _error(uri: str, said: str, expected: str, kind: type[StorageError] = StorageError) -> StorageError:
    shown = redact(uri)
    return kind(
        f"{shown}: {said}.", problems=[Problem(shown, said, expected)], next_step="correct the link, then run again"
    )


def _passing(uri: str, said: str) -> TransferError:
    shown = redact(uri)
    return TransferError(
        f"{shown}: {said}.",
        problems=[Problem(shown, said, "a transfer that ends")],
        next_step="run the command again; what is already here is kept",
    )


def _changed(uri: str) -> StorageError:
    return _error(uri, "it changed while it was read", "a file that nobody replaces meanwhile; run again")


def _cannot(uri: str, what: str, expected: str) -> NotAvailableError:
    shown = redact(uri)
    return NotAvailableError(
        f"{shown}: a link can't be {what}.",
        problems=[Problem(shown, "http", expected)],
        next_step="give an archive, a folder, or s3://bucket/prefix",
    )
