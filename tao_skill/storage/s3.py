"""S3 and what speaks its protocol, through boto3."""

import base64
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tao_skill.errors import Problem, StorageError
from tao_skill.storage.objects import Checksum, ObjectFacts
from tao_skill.storage.s3_client import bucket_of, client
from tao_skill.storage.s3_errors import code_of, status_of, translated

__all__ = ["SHA256_NAME", "S3Store", "split"]

_PIECE = 1024 * 1024
# Uploads of this program state their own sum, whatever the server can do.
SHA256_NAME = "tao-sha256"
_ABSENT = {"404", "NoSuchKey", "NotFound"}
_BUSY = {429, 500, 502, 503, 504}
_MULTIPART_FROM = 64 * 1024 * 1024


class S3Store:
    """``s3://bucket/key``."""

    def find(self, uri: str) -> ObjectFacts | None:
        bucket, key = split(uri)
        if not key or key.endswith("/"):
            return None
        with translated(uri):
            try:
                answer = client().head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
            except client().exceptions.ClientError as error:
                # An answer to HEAD has no body, so it can't tell a missing key from a missing bucket or a wrong secret.
                if code_of(error) not in (_ABSENT | {"403", "400"}):
                    raise
                client().list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
                if code_of(error) not in _ABSENT:
                    raise
                return None
            return _of_head(uri, key, answer)

    def list(self, uri: str, limit: int | None = None) -> list[ObjectFacts]:
        bucket, key = split(uri)
        prefix = key if not key or key.endswith("/") else f"{key}/"
        found: list[ObjectFacts] = []
        with translated(uri):
            for page in client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    if not entry["Key"].endswith("/"):
                        found.append(_of_entry(bucket, prefix, entry))
                if limit is not None and len(found) >= limit:
                    break
        return found[:limit]

    @contextmanager
    def read(self, facts: ObjectFacts, start: int, end: int | None) -> Iterator[Iterator[bytes]]:
        if facts.size == 0 or (end is not None and end <= start):
            yield iter(())
            return
        bucket, key = split(facts.uri)
        until = "" if end is None else end - 1
        wanted: dict[str, Any] = {"Bucket": bucket, "Key": key, "Range": f"bytes={start}-{until}"}
        if facts.etag:
            wanted["IfMatch"] = f'"{facts.etag}"'
        if facts.version:
            wanted["VersionId"] = facts.version
        with translated(facts.uri):
            answer = client().get_object(**wanted)
            body = answer["Body"]
            try:
                # Some servers pass over If-Match, or send the whole object for a range.
                if facts.etag and str(answer.get("ETag", "")).strip('"') != facts.etag:
                    raise _changed(facts)
                if not str(answer.get("ContentRange", "")).startswith(f"bytes {start}-"):
                    raise _no_range(facts)
                yield iter(lambda: body.read(_PIECE), b"")
            finally:
                body.close()

    def write(self, source: Path, uri: str) -> None:
        bucket, key = split(uri)
        with source.open("rb") as file, translated(uri):
            size = os.fstat(file.fileno()).st_size
            described = {"Metadata": {SHA256_NAME: hashlib.file_digest(file, "sha256").hexdigest()}}
            file.seek(0)
            if size < _MULTIPART_FROM:
                # Read at once: a log that grows meanwhile would have another length than was announced.
                content = file.read(size)
                described["Metadata"][SHA256_NAME] = hashlib.sha256(content).hexdigest()
                client().put_object(Bucket=bucket, Key=key, Body=content, **described)
                return
        self._write_parts(source, uri, described)

    def _write_parts(self, source: Path, uri: str, described: dict[str, Any]) -> None:
        from boto3.exceptions import S3UploadFailedError
        from boto3.s3.transfer import TransferConfig

        bucket, key = split(uri)
        config = TransferConfig(multipart_threshold=_MULTIPART_FROM, multipart_chunksize=32 * 1024 * 1024)
        with translated(uri):
            try:
                client().upload_file(str(source), bucket, key, ExtraArgs=described, Config=config)
            except S3UploadFailedError as error:
                raise error.__cause__ or error.__context__ or error from error


def split(uri: str) -> tuple[str, str]:
    """Return bucket and key of an s3 URI.

    Raises:
        StorageError: it names no bucket.
    """
    bucket, _, key = uri.partition("://")[2].partition("/")
    bucket = bucket_of(bucket)
    if not bucket:
        raise StorageError(
            f"{uri} names no bucket.",
            problems=[Problem(uri, "", "s3://bucket/key, or s3:///key with S3_BUCKET_NAME set")],
            next_step="write s3://bucket/key",
        )
    return bucket, key


def with_part_size(facts: ObjectFacts) -> ObjectFacts:
    """Return facts that tell the size of the parts an object was uploaded in, where the server says so."""
    checksum = facts.checksum
    if checksum is None or checksum.algorithm != "etag" or facts.size is None:
        return facts
    bucket, key = split(facts.uri)
    parts = int(checksum.value.rpartition("-")[2])
    with translated(facts.uri):
        try:
            size = int(client().head_object(Bucket=bucket, Key=key, PartNumber=1).get("ContentLength", 0))
        except client().exceptions.ClientError as error:
            if status_of(error) in _BUSY:
                raise
            return facts  # not all servers know of parts: the sum can't be checked then
    fits = size > 0 and -(-facts.size // size) == parts
    return replace(facts, checksum=replace(checksum, part_bytes=size)) if fits else facts


def _of_head(uri: str, key: str, answer: dict[str, Any]) -> ObjectFacts:
    version = str(answer.get("VersionId") or "")
    return ObjectFacts(
        uri,
        key.rpartition("/")[2],
        int(answer["ContentLength"]),
        etag=str(answer.get("ETag", "")).strip('"'),
        version="" if version == "null" else version,
        modified=str(answer.get("LastModified", "")),
        checksum=_checksum(answer),
    )


def _of_entry(bucket: str, prefix: str, entry: dict[str, Any]) -> ObjectFacts:
    etag = str(entry.get("ETag", "")).strip('"')
    return ObjectFacts(
        f"s3://{bucket}/{entry['Key']}",
        entry["Key"].removeprefix(prefix),
        int(entry["Size"]),
        etag=etag,
        modified=str(entry.get("LastModified", "")),
        # A listing doesn't say whether an object is encrypted with a key of its own, whose ETag is no MD5.
        checksum=Checksum("md5?", etag) if _is_hex(etag, 32) else None,
    )


def _checksum(answer: dict[str, Any]) -> Checksum | None:
    stated = str(answer.get("Metadata", {}).get(SHA256_NAME, ""))
    if _is_hex(stated, 64):
        return Checksum("sha256", stated)
    if answer.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT":
        for name, algorithm in (("ChecksumSHA256", "sha256"), ("ChecksumCRC32", "crc32")):
            value = str(answer.get(name, ""))
            if value and "-" not in value:
                return Checksum(algorithm, base64.b64decode(value).hex())
    etag = str(answer.get("ETag", "")).strip('"')
    if answer.get("ServerSideEncryption") in ("aws:kms", "aws:kms:dsse") or answer.get("SSECustomerAlgorithm"):
        return None
    if _is_hex(etag, 32):
        return Checksum("md5", etag)
    body, _, parts = etag.partition("-")
    return Checksum("etag", etag) if _is_hex(body, 32) and parts.isdigit() else None


def _is_hex(text: str, length: int) -> bool:
    return len(text) == length and all(letter in "0123456789abcdef" for letter in text)


def _changed(facts: ObjectFacts) -> StorageError:
    return StorageError(
        f"{facts.uri}: it changed while it was read.",
        problems=[Problem(facts.uri, "changed", "an object that nobody replaces meanwhile")],
        next_step="run the command again",
    )


def _no_range(facts: ObjectFacts) -> StorageError:
    return StorageError(
        f"{facts.uri}: the server can't send a part of an object.",
        problems=[Problem(facts.uri, "no range in the answer", "a server that answers range requests")],
        next_step="fetch the object by other means, and give the local path",
    )
