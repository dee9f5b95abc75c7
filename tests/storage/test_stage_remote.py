"""Staging from servers: archives, prefixes, single files; once, and from the cache afterwards."""

import os
from pathlib import Path
from typing import Any

import pytest
from storage_archives import tar_bytes, tree, zip_bytes  # loaded by conftest.py

from tao_skill.errors import StorageError
from tao_skill.storage import transfer
from tao_skill.storage.cache_care import entries, prune, verify
from tao_skill.storage.entry_locks import release
from tao_skill.storage.objects import TransferError
from tao_skill.storage.s3 import S3Store
from tao_skill.storage.stage import stage
from tao_skill.storage.survey import survey


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


CONTENT = {f"c{i % 5}/{i}.jpg": os.urandom(3000 + i) for i in range(60)}


@pytest.mark.parametrize("name", ["train.tar.gz", "train.tgz", "train.tar", "train.zip"])
def test_an_archive_becomes_a_folder(put: Any, cache: Path, name: str) -> None:
    # R32
    packed = zip_bytes(CONTENT) if name.endswith("zip") else tar_bytes(CONTENT, "w" if name.endswith("tar") else "w:gz")
    folder = stage(put(f"data/{name}", packed), cache)
    assert tree(folder) == CONTENT
    assert sorted(path.suffix for path in (cache / "staged").iterdir()) == ["", ".lock"]


def test_an_archive_that_breaks_early_is_still_summed_up_to_its_end(
    put: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "CHUNK", 64 * 1024)
    packed = bytearray(tar_bytes({f"a/{i}.jpg": os.urandom(1_000_000) for i in range(6)}, "w"))
    packed[1_000_960 : 1_000_960 + 512] = b"\xff" * 512
    with pytest.raises(StorageError, match="damaged"):
        stage(put("a.tar", bytes(packed)), cache)


def test_a_prefix_becomes_a_folder(put: Any, bucket: str, s3_server: Any, cache: Path) -> None:
    for name, content in CONTENT.items():
        put(f"data/train/{name}", content)
    if s3_server.name == "moto":
        put("data/train/", b"")  # the folder objects that web consoles make
    put("data/train/big/one.bin", b"7" * 9_000_000)
    put("data/train2/other.jpg", b"x")
    expected = CONTENT | {"big/one.bin": b"7" * 9_000_000}
    assert tree(stage(f"{bucket}/data/train", cache)) == expected
    assert tree(stage(f"{bucket}/data/train/", cache)) == expected
    assert len(entries(cache)) == 1


def test_the_second_time_nothing_is_fetched(put: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uris = [
        put("a.tar.gz", tar_bytes(CONTENT)),
        put("m/model.pth", b"weights"),
        put("p/x/1.jpg", b"1").removesuffix("/x/1.jpg"),
    ]
    first = [stage(uri, cache) for uri in uris]
    assert first[1].name == "model.pth"
    assert first[1].read_bytes() == b"weights"

    def forbidden(*_: Any) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr("tao_skill.storage.s3.S3Store.read", forbidden)
    assert [stage(uri, cache) for uri in uris] == first


def test_a_changed_object_is_fetched_anew(put: Any, cache: Path) -> None:
    first = stage(put("a.tar.gz", tar_bytes({"a/1": b"1", "b/1": b"1"})), cache)
    second = stage(put("a.tar.gz", tar_bytes({"a/1": b"2", "b/1": b"2"})), cache)
    assert (first / "a" / "1").read_bytes() == b"1"
    assert (second / "a" / "1").read_bytes() == b"2"


def test_what_is_not_there_is_named_with_what_is(put: Any, bucket: str, cache: Path) -> None:
    put("data/known/train.tar.gz", b"x")
    with pytest.raises(StorageError) as caught:
        stage(f"{bucket}/data/known/trian.tar.gz", cache)
    assert f"{bucket}/data/known/train.tar.gz" in caught.value.problems[0].expected
    with pytest.raises(StorageError, match="no bucket nothing-here"):
        stage("s3://nothing-here/a.tar.gz", cache)


def test_wrong_keys_are_refused(bucket: str, s3_server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not s3_server.checks_keys:
        pytest.skip("this server accepts any key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    with pytest.raises(StorageError, match="SignatureDoesNotMatch") as caught:
        stage(f"{bucket}/a.tar.gz", cache)
    assert "wrong-secret" not in str(caught.value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    with pytest.raises(StorageError, match=r"refuses the keys|denied"):
        stage(f"{bucket}/a.tar.gz", cache)


def test_the_older_variables_work_too(put: Any, bucket: str, s3_server: Any, cache: Path, monkeypatch: Any) -> None:
    put("a.tar.gz", tar_bytes(CONTENT))
    standard = s3_server.environment()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("ACCESS_KEY", standard["AWS_ACCESS_KEY_ID"])
    monkeypatch.setenv("SECRET_KEY", standard["AWS_SECRET_ACCESS_KEY"])
    monkeypatch.setenv("S3_ENDPOINT_URL", standard["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("CLOUD_REGION", "us-east-1")
    monkeypatch.setenv("S3_BUCKET_NAME", bucket[5:])
    assert tree(stage("s3:///a.tar.gz", cache)) == CONTENT


def test_a_presigned_link(put: Any, bucket: str, s3_server: Any, cache: Path) -> None:
    put("a.tar.gz", tar_bytes(CONTENT))
    params = {"Bucket": bucket[5:], "Key": "a.tar.gz"}
    links = [s3_server.client().generate_presigned_url("get_object", Params=params, ExpiresIn=100 + i) for i in (0, 1)]
    folders = [stage(link, cache) for link in links]
    assert tree(folders[0]) == CONTENT
    assert folders[0] == folders[1]  # the signature is no part of what the object is
    assert "Signature" not in "".join(path.read_text() for path in cache.rglob("entry.json"))


def test_a_transfer_that_broke_goes_on_where_it_was(put: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(40_000_000)
    uri = put("m/model.pth", content)
    real, spans = S3Store.read, []

    def breaking(self: S3Store, facts: Any, start: int, end: int | None) -> Any:
        spans.append((start, end))
        if start >= 24_000_000 and breaks:
            raise TransferError("the line is down")
        return real(self, facts, start, end)

    monkeypatch.setattr(S3Store, "read", breaking)
    monkeypatch.setattr(transfer, "THREADS", 1)
    monkeypatch.setattr(transfer, "_ATTEMPTS", 1)
    breaks = True
    with pytest.raises(StorageError, match="the line is down"):
        stage(uri, cache)
    breaks = False
    spans.clear()
    assert stage(uri, cache).read_bytes() == content
    assert min(start for start, _ in spans) == 3 * transfer.CHUNK
    assert not list((cache / "staged").glob("*.part*"))


def test_verify_checks_every_byte_and_repair_fetches_anew(put: Any, cache: Path) -> None:
    uri = put("a.tar.gz", tar_bytes(CONTENT))
    folder = stage(uri, cache)
    assert [finding.problems for finding in verify(cache)] == [[]]
    victim = folder / "c1" / "1.jpg"
    content = bytearray(victim.read_bytes())
    content[7] ^= 1
    victim.write_bytes(content)
    (folder / "c2" / "2.jpg").unlink()
    (folder / "c3" / "new.jpg").write_bytes(b"")
    assert sorted(verify(cache)[0].problems) == [
        "c1/1.jpg has changed", "c2/2.jpg is missing", "c3/new.jpg does not belong to it",
    ]  # fmt: skip
    release()
    verify(cache, repair=True)
    assert tree(stage(uri, cache)) == CONTENT


def test_room_is_needed_for_what_is_missing_only(put: Any, cache: Path) -> None:
    content = os.urandom(40_960)
    uri = put("rest/a.bin", content)
    put("rest/b.bin", content)
    folder = uri.rpartition("/")[0]
    assert survey(folder, cache).disk == 2 * 40_960
    done = stage(folder, cache).parent
    release()
    left = done.with_name(f"{done.name}.kept.partial")
    done.rename(left)  # as a transfer that broke before the last object leaves it
    (left / "content" / "b.bin").unlink()
    for name in ("entry.json", "files.jsonl"):
        (left / name).unlink()
    looked = survey(folder, cache)
    assert looked.to_fetch == looked.disk == 40_960
    assert tree(stage(folder, cache)) == {"a.bin": content, "b.bin": content}


def test_the_longest_unused_goes_first(put: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uris = [put(f"{i}.tar.gz", tar_bytes({"a/1": bytes([i]) * 1000, "b/1": b""})) for i in range(4)]
    for number, uri in enumerate(uris[:3]):
        used = stage(uri, cache).parent / ".used"
        os.utime(used, (number + 1, number + 1))
    monkeypatch.setenv("TAO_SKILL_CACHE_LIMIT", "1")
    stage(uris[0], cache)
    prune(cache)
    assert len(entries(cache)) == 3  # this process uses them all
    for number in range(3):
        os.utime(stage(uris[number], cache).parent / ".used", (number + 1, number + 1))
    release()
    monkeypatch.setenv("TAO_SKILL_CACHE_LIMIT", "2kB")
    last = stage(uris[3], cache)
    assert [entry.marker.uri for entry in entries(cache)] == [uris[2], uris[3]]
    release()
    gone, _ = prune(cache)
    assert len(gone) == 2
    assert not last.exists()
    assert entries(cache) == []


def test_what_belongs_to_a_file_comes_with_it(put: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # An engine is nothing without its facts, nor an ONNX file without tensors that lie outside of it.
    for name, beside in [("m/model.engine", "m/model.engine.json"), ("m/model.onnx", "m/model.onnx.data")]:
        put(beside, b"of " + name.encode())
        uri = put(name, name.encode())
        looked = survey(uri, cache)
        assert looked.to_fetch == looked.disk == len(name) * 2 + 3
        path = stage(uri, cache)
        assert (path.name, path.read_bytes()) == (name[2:], name.encode())
        assert path.with_name(beside[2:]).read_bytes() == b"of " + name.encode()
        assert survey(uri, cache).cached
        put(beside, b"other facts")  # the same engine: its entry must not serve any more
        renewed = stage(uri, cache)
        assert renewed.with_name(beside[2:]).read_bytes() == b"other facts"
    assert [finding.problems for finding in verify(cache)] == [[]] * 4
    monkeypatch.setattr(S3Store, "read", lambda *_: pytest.fail("read again"))
    assert stage(uri, cache) == renewed


def test_a_file_without_companions_stands_alone(put: Any, cache: Path) -> None:
    path = stage(put("m/model.onnx", b"small"), cache)
    assert [one.name for one in path.parent.iterdir()] == ["model.onnx"]
