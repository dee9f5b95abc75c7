"""Local and remote names."""

from pathlib import Path

import pytest

from tao_skill.errors import NotAvailableError, StorageError
from tao_skill.storage.locate import exists, is_remote, join, local_path, redact, redact_text


def test_plain_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert local_path("a/b") == tmp_path / "a" / "b"
    assert local_path("~/data") == Path("/home/someone/data")
    assert local_path(tmp_path) == tmp_path


def test_file_uris() -> None:
    assert local_path("file:///a/b%20c") == Path("/a/b c")
    assert local_path("FILE://localhost/a") == Path("/a")
    for wrong in ("file://elsewhere/a", "file://"):
        with pytest.raises(StorageError):
            local_path(wrong)


@pytest.mark.parametrize("uri", ["s3://bucket/a", "S3://bucket/a", "ngc://a/b", "hf_model://a", "https://x/y"])
def test_other_schemes_are_named(uri: str) -> None:  # R32: more schemes come later
    assert is_remote(uri)
    with pytest.raises(NotAvailableError) as caught:
        local_path(uri)
    assert caught.value.message.startswith(uri.partition(":")[0].lower())


def test_what_is_not_remote() -> None:
    assert not any(map(is_remote, ("/a", "a:b", "file:///a", "C:/x", "")))


def test_exists(tmp_path: Path) -> None:
    assert exists(tmp_path.as_uri())
    assert not exists(tmp_path / "nothing")


def test_join() -> None:
    assert join("s3://bucket/data/", "a/b.tar.gz") == "s3://bucket/data/a/b.tar.gz"
    assert join("/data", "a") == "/data/a"
    assert join("/", "a") == "/a"
    assert join("s3:///", "a") == "s3:///a"  # and not the local path s3:/a
    assert join("file:///", "a") == "file:///a"
    for wrong in ("/a", "../a", "a/../../b"):
        with pytest.raises(StorageError):
            join("/data", wrong)


def test_redacted_uris_keep_their_form() -> None:
    assert redact("s3:///data/train.tar.gz") == "s3:///data/train.tar.gz"  # the bucket is that of S3_BUCKET_NAME
    assert redact("s3://") == "s3://"
    assert redact_text("https://h/a?X-Amz-Signature=1: denied, http://u:p@h/b?c=2.") == (
        "https://h/a?hidden: denied, http://h/b?hidden."
    )
