"""Archives with links by the thousand, twice the same name, names of old systems, and damage inside of members."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from tao_skill.errors import StorageError
from tao_skill.storage.extract import extract
from tao_skill.storage.members import DEFAULT_LIMITS
from tao_skill.storage.objects import ObjectFacts
from tao_skill.storage.prefix import mirror
from tao_skill.storage.s3 import S3Store


def tar_of(path: Path, *members: tuple[str, bytes, str]) -> Path:
    """Write an archive; a member is its name, its kind, and its content or what it links to."""
    with tarfile.open(path, "w", encoding="latin-1", format=tarfile.GNU_FORMAT) as tar:
        for name, kind, text in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
            else:
                info.linkname = text
                tar.addfile(info)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def test_a_long_chain_of_links_is_followed_once(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In passes over all of them, the links of this archive would be looked at a million times."""
    looks: list[Path] = []
    is_file = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: bool(looks.append(path)) or is_file(path))
    number = 1_500
    chain = [(f"l{i}", tarfile.SYMTYPE, f"l{i + 1}") for i in range(number)]
    last = [(f"l{number}", tarfile.REGTYPE, "")]
    assert extract(tar_of(tmp_path / "a.tar", *chain, *last), target) == number + 1
    assert len(looks) < 3 * number


def test_a_link_that_leads_to_itself_over_others_leads_nowhere(tmp_path: Path, target: Path) -> None:
    circle = [("a", tarfile.SYMTYPE, "b"), ("b", tarfile.SYMTYPE, "c"), ("c", tarfile.SYMTYPE, "b")]
    with pytest.raises(StorageError, match="'a'"):
        extract(tar_of(tmp_path / "a.tar", *circle, ("d", tarfile.REGTYPE, "x")), target)


def test_of_two_links_of_one_name_the_later_counts(tmp_path: Path, target: Path) -> None:
    files = [("one", tarfile.REGTYPE, "1"), ("two", tarfile.REGTYPE, "2")]
    links = [("link", tarfile.SYMTYPE, "one"), ("link", tarfile.SYMTYPE, "two")]
    assert extract(tar_of(tmp_path / "a.tar", *files, *links), target) == 3
    assert (target / "link").read_text() == "2"


def test_a_file_that_tar_was_given_twice(tmp_path: Path, target: Path) -> None:
    archive = tar_of(tmp_path / "a.tar", ("a", tarfile.REGTYPE, "x"), ("a", tarfile.LNKTYPE, "a"))
    assert extract(archive, target) == 1
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        with pytest.raises(StorageError, match="'s'"):
            extract(tar_of(tmp_path / "b.tar", ("s", kind, "s"), ("b", tarfile.REGTYPE, "x")), target)


def test_a_name_that_is_not_utf_8_is_named(tmp_path: Path, target: Path) -> None:
    with pytest.raises(StorageError, match="is not allowed") as caught:
        extract(tar_of(tmp_path / "a.tar", ("gr\xf6\xdfe.jpg", tarfile.REGTYPE, "x")), target)
    assert "UTF-8" in caught.value.problems[0].expected
    assert b"gr" in str(caught.value.document()).encode()


@pytest.mark.parametrize("order", [1, -1])
def test_a_file_and_a_folder_of_one_name(tmp_path: Path, target: Path, order: int) -> None:
    members = [("a", tarfile.REGTYPE, "x"), ("a/1.jpg", tarfile.REGTYPE, "y")][::order]
    with pytest.raises(StorageError, match="is not allowed"):
        extract(tar_of(tmp_path / "a.tar", *members), target)


def test_an_object_and_a_prefix_of_one_name(tmp_path: Path, target: Path) -> None:
    """No folder can hold both, so nothing is fetched."""
    objects = [ObjectFacts(f"s3://b/set/{name}", name, 1) for name in ("a", "a/1.jpg")]
    with pytest.raises(StorageError, match=r"its object 'a/1\.jpg' is not allowed"):
        mirror(S3Store(), "s3://b/set", objects, target, tmp_path / "listing", limits=DEFAULT_LIMITS)
    assert not list(target.iterdir())


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_damage_inside_a_member_is_told_as_damage(tmp_path: Path, target: Path, method: int) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", method) as opened:
        opened.writestr("a.txt", bytes(range(256)) * 200)
    content = bytearray(archive.read_bytes())
    content[60:90] = bytes(30)
    archive.write_bytes(content)
    with pytest.raises(StorageError, match="can't be extracted") as caught:
        extract(archive, target)
    assert "whole" in caught.value.problems[0].expected


def test_an_archive_that_cannot_be_read_is_named_and_not_the_cache(tmp_path: Path, target: Path) -> None:
    (tmp_path / "a.tar").mkdir()
    with pytest.raises(StorageError, match=r"a\.tar can't be read"):
        extract(tmp_path / "a.tar", target)
