"""What AWS answers and the test servers don't: expired tokens, other regions, the right to read but not to list."""

import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from storage_archives import tar_bytes, tree  # loaded by conftest.py
from storage_servers import S3Server, serving

from tao_skill.errors import StorageError
from tao_skill.storage.stage import stage
from tao_skill.storage.survey import survey

CONTENT = {f"c{i % 3}/{i}.jpg": bytes([i]) * 500 for i in range(9)}
KEY = "data/train.tar.gz"
# (status, code, further headers) of an answer that refuses, or None to serve.
Refusal = tuple[int, str, dict[str, str]] | None
Policy = Callable[["_Aws", str], Refusal]


class _Aws(BaseHTTPRequestHandler):
    """Serve one object; a policy refuses by kind of request: head, get or list."""

    protocol_version = "HTTP/1.1"
    policy: Policy
    body = tar_bytes(CONTENT)
    etag = hashlib.md5(body).hexdigest()

    def do_HEAD(self) -> None:
        self._serve("head")

    def do_GET(self) -> None:
        self._serve("list" if "list-type" in parse_qs(urlsplit(self.path).query) else "get")

    def region(self) -> str:
        """Return the region that the request is signed for."""
        match = re.search(r"Credential=[^/]+/\d+/([^/]+)/s3/", self.headers.get("Authorization", ""))
        return match[1] if match else ""

    def _serve(self, kind: str) -> None:
        refusal = type(self).policy(self, kind)
        if refusal is not None:
            status, code, headers = refusal
            region = headers.get("x-amz-bucket-region", "")
            text = f"<Error><Code>{code}</Code><Message>no</Message><Region>{region}</Region></Error>"
            self._answer(status, text.encode(), headers, kind)
        elif kind == "list":
            self._answer(200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>", {}, kind)
        elif unquote(urlsplit(self.path).path).endswith(KEY):
            self._object(kind)
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>", {}, kind)

    def _object(self, kind: str) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        end = min(int(asked[2]) + 1, len(self.body)) if asked and asked[2] else len(self.body)
        more = {"ETag": f'"{self.etag}"', "Accept-Ranges": "bytes"}
        if asked:
            more["Content-Range"] = f"bytes {start}-{end - 1}/{len(self.body)}"
        self._answer(206 if asked else 200, self.body[start:end], more, kind)

    def _answer(self, status: int, body: bytes, headers: dict[str, str], kind: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if status < 300 or kind != "head" else 0))
        self.end_headers()
        if kind != "head":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@contextmanager
def _aws(policy: Policy) -> Iterator[str]:
    with serving(type("Aws", (_Aws,), {"policy": staticmethod(policy)})) as url:
        yield url


def use(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in S3Server("aws", 0, checks_keys=False).environment(url).items():
        monkeypatch.setenv(name, value)


def always(status: int, code: str, **headers: str) -> Policy:
    named = {f"x-amz-{name.replace('_', '-')}": value for name, value in headers.items()}
    return lambda _request, _kind: (status, code, named)


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (always(400, "ExpiredToken"), "have expired"),
        (always(400, "InvalidToken"), "have expired"),
        (always(403, "RequestTimeTooSkewed"), "clock is wrong"),
        (always(403, "InvalidAccessKeyId"), "refuses the keys"),
        (always(403, "SignatureDoesNotMatch"), "refuses the keys"),
        (always(403, "AccessDenied"), "access denied"),
        (always(403, "AllAccessDisabled"), "access denied"),
        (always(400, "AuthorizationHeaderMalformed", bucket_region="eu-west-1"), "AWS_DEFAULT_REGION=eu-west-1"),
        (always(301, "PermanentRedirect", bucket_region="eu-west-1"), "AWS_DEFAULT_REGION=eu-west-1"),
        (always(404, "NoSuchBucket"), "no bucket b"),
    ],
)
def test_refusals_are_said_in_plain_words(
    policy: Policy, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _aws(policy) as url:
        use(url, monkeypatch)
        for look in (lambda: survey(f"s3://b/{KEY}", tmp_path), lambda: stage(f"s3://b/{KEY}", tmp_path / "cache")):
            with pytest.raises(StorageError) as caught:
                look()
            told = f"{caught.value.message} {caught.value.problems[0].expected}"
            assert says in told
            assert "tests-secret-key" not in str(caught.value)
    assert not list((tmp_path / "cache").rglob("*.jpg"))


def test_right_to_read_is_enough_for_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _aws(lambda _request, kind: (403, "AccessDenied", {}) if kind == "list" else None) as url:
        use(url, monkeypatch)
        assert survey(f"s3://b/{KEY}", tmp_path).to_fetch > 0
        assert tree(stage(f"s3://b/{KEY}", tmp_path / "cache")) == CONTENT


def test_without_the_right_to_list_a_missing_name_looks_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def policy(request: _Aws, kind: str) -> Refusal:
        return None if kind != "list" and request.path.endswith(KEY) else (403, "AccessDenied", {})

    with _aws(policy) as url:
        use(url, monkeypatch)
        with pytest.raises(StorageError) as caught:
            survey("s3://b/data/trian.tar.gz", tmp_path)
    assert "access denied" in caught.value.message
    assert "that there is no such name" in caught.value.problems[0].expected


def test_right_to_list_but_not_to_read_is_told_before_anything_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _aws(lambda _request, kind: (403, "AccessDenied", {}) if kind == "get" else None) as url:
        use(url, monkeypatch)
        with pytest.raises(StorageError, match="access denied"):
            survey(f"s3://b/{KEY}", tmp_path)


@pytest.mark.parametrize("status", [301, 400])
def test_bucket_of_another_region_is_read_nevertheless(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is signed anew, for the region that the answer names."""
    code = {301: "PermanentRedirect", 400: "AuthorizationHeaderMalformed"}[status]

    def policy(request: _Aws, _kind: str) -> Refusal:
        return None if request.region() == "eu-west-1" else (status, code, {"x-amz-bucket-region": "eu-west-1"})

    with _aws(policy) as url:
        use(url, monkeypatch)
        assert tree(stage(f"s3://b/{KEY}", tmp_path / "cache")) == CONTENT
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        assert tree(stage(f"s3://b/{KEY}", tmp_path / "cache")) == CONTENT


def test_a_request_without_credentials_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _aws(always(403, "AccessDenied")) as url:
        use(url, monkeypatch)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(StorageError, match="without credentials") as caught:
            survey(f"s3://b/{KEY}", tmp_path)
    assert "AWS_ACCESS_KEY_ID" in caught.value.problems[0].expected


def test_right_to_read_is_enough_for_a_model_that_may_have_a_file_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def policy(request: _Aws, kind: str) -> Refusal:
        return None if kind != "list" and request.path.endswith(".onnx") else (403, "AccessDenied", {})

    monkeypatch.setattr(sys.modules[__name__], "KEY", "m.onnx")
    with _aws(policy) as url:
        use(url, monkeypatch)
        assert stage("s3://b/m.onnx", tmp_path / "cache").read_bytes() == _Aws.body


def test_half_of_the_credentials_and_a_profile_that_is_none_are_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _aws(always(403, "AccessDenied")) as url:
        use(url, monkeypatch)
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(StorageError, match="no usable credentials") as caught:
            survey(f"s3://b/{KEY}", tmp_path)
        assert url in str(caught.value.next_step)
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        with pytest.raises(StorageError, match="nobody"):
            survey(f"s3://b/{KEY}", tmp_path)


def test_a_server_that_knows_of_no_parts_gives_the_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def policy(request: _Aws, _kind: str) -> Refusal:
        return (400, "InvalidArgument", {}) if "partNumber" in request.path else None

    monkeypatch.setattr(_Aws, "etag", f"{'0' * 32}-2")
    with _aws(policy) as url:
        use(url, monkeypatch)
        assert tree(stage(f"s3://b/{KEY}", tmp_path / "cache")) == CONTENT


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "S3_ENDPOINT_URL"])
def test_an_endpoint_that_is_no_address_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "minio.local:9000")
    with pytest.raises(StorageError, match=f"{name} is no address"):
        survey(f"s3://b/{KEY}", tmp_path)
