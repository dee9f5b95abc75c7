"""Local and remote names."""

from pathlib import Path

import pytest

from tao_skill.errors import NotAvailableError, StorageError
from tao_skill.storage.locate import exists, is_redacted, is_remote, join, local_path, name_of, redact, redact_text


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
        "https://h/a?hidden: denied, http://hidden@h/b?hidden."
    )


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("HTTPS://H/a.tar.gz?X-Amz-Signature=topsecret", "https://H/a.tar.gz?hidden"),
        ("see.https://h/a?sig=topsecret", "see.https://h/a?hidden"),
        ("ftp://user:topsecret@h/a", "ftp://hidden@h/a"),
        ("s3://KEY:topsecret@bucket/a?b#c", "s3://hidden@bucket/a?b#c"),
        ("s3://KEY:top/secret+x@bucket/a", "s3://hidden@bucket/a"),
        ("https://user:topsecret@h:8000/x.tar.gz", "https://hidden@h:8000/x.tar.gz"),
        ("https://u@v:topsecret@h/x", "https://hidden@h/x"),
        ("http://[bad/x.tar.gz?sig=topsecret", "http://[bad/x.tar.gz?hidden"),
    ],
)
def test_what_is_secret_in_a_uri_is_hidden_and_marked(uri: str, shown: str) -> None:
    assert redact(uri) == redact_text(uri) == redact(shown) == shown
    assert redact_text(f"No {uri}, alas.") == f"No {shown}, alas."
    assert is_redacted(shown)
    assert not is_redacted(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/a@b?c#d", "s3://bucket/a?", "http://h:8000/a@b", "http://[::1]:80/a@b", "file:///a?b", "/a?b",
        "hf_model://a/b",
    ],
)  # fmt: skip
def test_what_holds_no_secret_stays(uri: str) -> None:
    assert redact(uri) == redact_text(uri) == uri
    assert not is_redacted(uri)


def test_a_long_word_is_looked_at_quickly() -> None:
    word = "a" * 300_000
    assert redact_text(f"{word} {word}://h?b") == f"{word} {word}://h?hidden"


def test_names_of_malformed_links() -> None:
    assert name_of("http://[bad/x.tar.gz?sig=1#y") == "x.tar.gz"
    assert name_of("https://h/a%20b.tar?c/d") == "a b.tar"
    assert name_of("s3://bucket/a/b?c") == "b?c"
