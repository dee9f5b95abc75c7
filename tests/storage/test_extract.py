"""Archives that nobody vouches for: nothing lands outside, and every refusal names the member."""

import gzip
import io
import json
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tao_skill.errors import StorageError
from tao_skill.storage.extract import Limits, extract
from tao_skill.storage.members import DEFAULT_LIMITS
from tao_skill.storage.stage import stage

Member = tuple[tarfile.TarInfo, bytes]


def file(name: str, content: bytes = b"x") -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def special(name: str, kind: bytes, target: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def packed(path: Path, *members: Member) -> Path:
    mode = "w:gz" if path.name.endswith("gz") else "w"
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "inner" / "target"
    folder.mkdir(parents=True)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz"])
def test_plain_content(tmp_path: Path, target: Path, name: str) -> None:
    long = "d" * 120 + "/" + "e" * 120 + ".jpg"
    archive = packed(
        tmp_path / name,
        special("./a", tarfile.DIRTYPE),
        file("./a/größe.jpg", b"1" * 3_000_000),
        file(long, b"2"),
        file("empty", b""),
    )
    assert extract(archive, target) == 3
    assert tree(target) == {"a/größe.jpg": b"1" * 3_000_000, long: b"2", "empty": b""}


def test_a_wrong_suffix_does_not_matter(tmp_path: Path, target: Path) -> None:
    packed(tmp_path / "a.tar", file("a")).rename(tmp_path / "a.tar.gz")
    assert extract(tmp_path / "a.tar.gz", target) == 1


def test_modes_and_owners_are_not_taken_over(tmp_path: Path, target: Path) -> None:
    info, content = file("a")
    info.mode, info.uid = 0o1777, 12345
    extract(packed(tmp_path / "a.tar", (info, content)), target)
    assert (target / "a").stat().st_mode & 0o7111 == 0


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6777])
def test_a_program_with_rights_of_its_owner_is_refused(tmp_path: Path, target: Path, mode: int) -> None:
    info, content = file("a/tool")
    info.mode = mode
    evil = zip_member("a/tool", b"x", stat.S_IFREG | mode)
    for archive in (packed(tmp_path / "a.tar", file("b"), (info, content)), zipped(tmp_path / "a.zip", evil)):
        with pytest.raises(StorageError, match="'a/tool'"):
            extract(archive, target)
    assert not (target / "a").exists()


def test_an_archive_may_not_grow_beyond_what_images_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tao_skill.storage.members._ALWAYS_FINE", 2_000_000)
    members = [file(f"a/{number}", bytes(900_000)) for number in range(3)]
    packed(tmp_path / "bomb.tar.gz", *members)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for info, content in members:
            archive.writestr(info.name, content)
    for name in ("bomb.tar.gz", "bomb.zip"):
        with pytest.raises(StorageError, match="'a/2' is not allowed"):
            stage(tmp_path / name, tmp_path / "cache")
        assert not list((tmp_path / "cache").rglob("content"))
    assert DEFAULT_LIMITS.for_archive(10**9).total_bytes == 10**11
    assert DEFAULT_LIMITS.for_archive(None) == DEFAULT_LIMITS


def test_folders_in_folders_without_end_are_refused(tmp_path: Path, target: Path) -> None:
    with pytest.raises(StorageError, match="is not allowed"):
        extract(packed(tmp_path / "a.tar", file("d/" * 1500 + "x")), target)


def test_what_a_mac_adds_is_left_out(tmp_path: Path, target: Path) -> None:
    junk = [file(name) for name in ("a/._x.jpg", "._a", "__MACOSX/a/x.jpg", "a/.DS_Store")]
    assert extract(packed(tmp_path / "a.tar", *junk, file("a/x.jpg")), target) == 1


HOSTILE: dict[str, Callable[[], list[Member]]] = {
    "/etc/evil": lambda: [file("/etc/evil")],
    "../evil": lambda: [file("../evil")],
    "a/../../evil": lambda: [file("a/../../evil")],
    "C:/evil": lambda: [file("C:/evil")],
    "..\\evil": lambda: [file("..\\evil")],
    "../evil-folder": lambda: [special("../evil-folder", tarfile.DIRTYPE)],
    "out": lambda: [special("out", tarfile.SYMTYPE, "/etc/passwd")],
    "d/out": lambda: [special("d/out", tarfile.SYMTYPE, "../../evil")],
    "hard": lambda: [special("hard", tarfile.LNKTYPE, "../../evil")],
    "hard2": lambda: [special("hard2", tarfile.LNKTYPE, "/etc/passwd")],
    "self": lambda: [special("self", tarfile.SYMTYPE, ".")],
    "loop": lambda: [special("loop", tarfile.SYMTYPE, "loop")],
    "nowhere": lambda: [special("nowhere", tarfile.SYMTYPE, "missing")],
    "to-folder": lambda: [special("d", tarfile.DIRTYPE), special("to-folder", tarfile.SYMTYPE, "d")],
    "over": lambda: [file("over"), special("over", tarfile.SYMTYPE, "x"), file("x")],
    "device": lambda: [special("device", tarfile.CHRTYPE)],
    "block": lambda: [special("block", tarfile.BLKTYPE)],
    "pipe": lambda: [special("pipe", tarfile.FIFOTYPE)],
    "f/x": lambda: [file("f"), file("f/x")],
    "d/": lambda: [file("d"), special("d/", tarfile.DIRTYPE)],
    ".": lambda: [file(".")],
}


@pytest.mark.parametrize("member", HOSTILE)
def test_hostile_members_are_refused_by_name(tmp_path: Path, target: Path, member: str) -> None:
    archive = packed(tmp_path / "evil.tar.gz", file("innocent"), *HOSTILE[member]())
    before = {path for path in tmp_path.rglob("*") if target not in path.parents}
    with pytest.raises(StorageError) as caught:
        extract(archive, target)
    assert repr(member.rstrip("/")) in caught.value.message
    assert {path for path in tmp_path.rglob("*") if target not in path.parents} == before
    assert not any(path.is_symlink() for path in target.rglob("*"))


def test_a_link_that_a_later_member_would_write_through_is_never_made(tmp_path: Path, target: Path) -> None:
    archive = packed(
        tmp_path / "a.tar", special("d", tarfile.SYMTYPE, ".."), file("d/evil"), special("e", tarfile.LNKTYPE, "d/evil")
    )
    with pytest.raises(StorageError, match="'d'"):
        extract(archive, target)
    assert not (target.parent / "evil").exists()


def test_links_inside_become_copies(tmp_path: Path, target: Path) -> None:
    archive = packed(
        tmp_path / "a.tar",
        special("first", tarfile.SYMTYPE, "b/second"),
        special("b/second", tarfile.SYMTYPE, "../a/file"),
        file("a/file", b"content"),
        special("hard", tarfile.LNKTYPE, "a/file"),
    )
    assert extract(archive, target) == 4
    assert set(tree(target).values()) == {b"content"}
    (target / "hard").write_bytes(b"changed")
    assert (target / "a" / "file").read_bytes() == b"content"


def test_too_many_members(tmp_path: Path, target: Path) -> None:
    archive = packed(tmp_path / "a.tar", *[file(f"f{i}") for i in range(5)])
    assert extract(archive, target, Limits(members=5)) == 5
    with pytest.raises(StorageError) as caught:
        extract(archive, target, Limits(members=4))
    assert caught.value.problems[0].key == "a.tar: f4"
    assert "at most 4 members" in caught.value.problems[0].expected


def test_too_many_bytes_are_refused_before_they_are_written(tmp_path: Path, target: Path) -> None:
    archive = packed(tmp_path / "a.tar.gz", file("small", b"1" * 60), file("bomb", b"0" * 10_000_000))
    with pytest.raises(StorageError, match="'bomb'"):
        extract(archive, target, Limits(total_bytes=1000))
    assert tree(target) == {"small": b"1" * 60}


def test_a_sparse_file_counts_by_its_whole_length(tmp_path: Path, target: Path) -> None:
    info = tarfile.TarInfo("sparse")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "0", "GNU.sparse.size": str(1 << 50)}
    info.pax_headers |= {"GNU.sparse.numblocks": "0"}
    with pytest.raises(StorageError, match="'sparse'"):
        extract(packed(tmp_path / "a.tar", (info, b"")), target)


def test_copies_by_links_are_limited(tmp_path: Path, target: Path) -> None:
    links = [special(f"l{i}", tarfile.SYMTYPE, "big") for i in range(9)]
    archive = packed(tmp_path / "a.tar", file("big", b"1" * 1000), *links)
    with pytest.raises(StorageError, match="'l3'"):
        extract(archive, target, Limits(link_copies_bytes=3000))


def test_a_file_larger_than_the_disk_is_refused_at_once(tmp_path: Path, target: Path) -> None:
    path = tmp_path / "a.tar"
    info = tarfile.TarInfo("huge")
    info.size = 1 << 39
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 10240)
    with pytest.raises(StorageError, match="huge"):
        extract(path, target)


def test_a_name_header_that_claims_gigabytes_is_not_read_into_memory(tmp_path: Path, target: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"a" * 10240)
    with pytest.raises(StorageError, match="8589934592 bytes for one name"):
        extract(tmp_path / "a.tar", target)


def test_a_chain_of_headers_without_end(tmp_path: Path, target: Path) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 0
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.USTAR_FORMAT) * 5000 + b"\0" * 1024)
    with pytest.raises(StorageError):
        extract(tmp_path / "a.tar", target)


def many(tmp_path: Path, name: str) -> bytes:
    members = [file(f"c{i}/x.jpg", bytes([i]) * 3000) for i in range(20)]
    return packed(tmp_path / name, *members).read_bytes()


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_an_archive_that_is_cut_short_anywhere_is_broken(tmp_path: Path, target: Path, name: str) -> None:
    whole = many(tmp_path, name)
    ends = [0, 1, 100, len(whole) // 3, len(whole) // 2] + (
        [3584 * 4, 3584 * 20] if name == "a.tar" else [len(whole) - 1]
    )
    for end in ends:
        (tmp_path / name).write_bytes(whole[:end])
        with pytest.raises(StorageError) as caught:
            extract(tmp_path / name, target)
        assert str(tmp_path / name) in caught.value.message


def test_one_changed_byte_in_a_gz_is_noticed(tmp_path: Path, target: Path) -> None:
    whole = bytearray(many(tmp_path, "a.tar.gz"))
    whole[len(whole) // 2] ^= 1
    (tmp_path / "a.tar.gz").write_bytes(whole)
    with pytest.raises(StorageError):
        extract(tmp_path / "a.tar.gz", target)


def test_a_broken_header_in_the_middle_loses_nothing_silently(tmp_path: Path, target: Path) -> None:
    whole = bytearray(many(tmp_path, "a.tar"))
    whole[(512 + 3072) * 3 + 10] ^= 1
    (tmp_path / "a.tar").write_bytes(whole)
    with pytest.raises(StorageError, match="damaged"):
        extract(tmp_path / "a.tar", target)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_of_archives_behind_one_another_none_is_lost_silently(tmp_path: Path, target: Path, name: str) -> None:
    first, second = many(tmp_path, f"1{name}"), many(tmp_path, f"2{name}")
    (tmp_path / name).write_bytes(first + second)
    with pytest.raises(StorageError, match="more content follows its end"):
        extract(tmp_path / name, target)


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive at all" * 100, gzip.compress(b"text" * 1000), b"\0" * 10240],
    ids=["empty", "text", "gzip of text", "zeros"],
)
def test_what_is_no_archive_or_an_empty_one(tmp_path: Path, target: Path, content: bytes) -> None:
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(StorageError):
        extract(tmp_path / "a.tar.gz", target)


def test_folders_alone_are_no_data(tmp_path: Path, target: Path) -> None:
    with pytest.raises(StorageError, match="no files"):
        extract(packed(tmp_path / "a.tar", special("a", tarfile.DIRTYPE)), target)


def zipped(path: Path, *members: tuple[zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, content in members:
            archive.writestr(info, content)
    return path


def zip_member(name: str, content: bytes = b"x", mode: int = 0) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info, content


def test_a_plain_zip(tmp_path: Path, target: Path) -> None:
    archive = zipped(
        tmp_path / "a.zip", zip_member("a/"), zip_member("a/größe.jpg", b"1" * 10), zip_member("__MACOSX/a")
    )
    assert extract(archive, target) == 1
    assert tree(target) == {"a/größe.jpg": b"1" * 10}


def unflagged(path: Path, old: bytes, new: bytes) -> Path:
    """Put raw bytes in the place of a name, as packers do that don't say which characters they write."""
    path.write_bytes(zipped(path, zip_member(old.decode())).read_bytes().replace(old, new))
    return path


def test_names_of_a_zip_that_does_not_say_that_they_are_utf_8(tmp_path: Path, target: Path) -> None:
    archive = unflagged(tmp_path / "a.zip", b"K__se/1.jpg", "Käse/1.jpg".encode())
    assert extract(archive, target) == 1
    assert tree(target) == {"Käse/1.jpg": b"x"}


def test_names_of_a_zip_that_are_not_utf_8_are_those_of_the_format(tmp_path: Path, target: Path) -> None:
    archive = unflagged(tmp_path / "a.zip", b"K_se/1.jpg", "Käse/1.jpg".encode("cp437"))
    assert extract(archive, target) == 1
    assert tree(target) == {"Käse/1.jpg": b"x"}


def test_of_zips_behind_one_another_none_is_lost_silently(tmp_path: Path, target: Path) -> None:
    parts = [zipped(tmp_path / f"{name}.zip", zip_member(f"{name}/1.jpg")).read_bytes() for name in "ab"]
    (tmp_path / "both.zip").write_bytes(b"".join(parts))
    with pytest.raises(StorageError, match="put behind another"):
        extract(tmp_path / "both.zip", target)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("/etc/evil", 0),
        ("../evil", 0),
        ("a/../../evil", 0),
        ("..\\evil", 0),
        ("C:/evil", 0),
        ("link", stat.S_IFLNK | 0o777),
        ("pipe", stat.S_IFIFO | 0o666),
        ("device", stat.S_IFCHR | 0o666),
    ],
)
def test_hostile_members_of_a_zip_are_refused_by_name(tmp_path: Path, target: Path, name: str, mode: int) -> None:
    archive = zipped(tmp_path / "evil.zip", zip_member("innocent"), zip_member(name, b"/etc/passwd", mode))
    before = {path for path in tmp_path.rglob("*") if target not in path.parents}
    with pytest.raises(StorageError) as caught:
        extract(archive, target)
    assert "not allowed" in caught.value.message
    assert {path for path in tmp_path.rglob("*") if target not in path.parents} == before
    assert not any(path.is_symlink() for path in target.rglob("*"))


def test_a_zip_bomb_is_refused_before_it_is_written(tmp_path: Path, target: Path) -> None:
    archive = zipped(tmp_path / "bomb.zip", zip_member("bomb", b"0" * 30_000_000))
    with pytest.raises(StorageError, match="bomb"):
        extract(archive, target, Limits(total_bytes=1_000_000))
    assert tree(target) == {}


def test_a_zip_whose_members_share_bytes(tmp_path: Path, target: Path) -> None:
    path = zipped(tmp_path / "a.zip", zip_member("first", os.urandom(5000)), zip_member("second", b"2"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.filelist[1].header_offset = archive.filelist[0].header_offset
        archive._didModify = True  # type: ignore[attr-defined]
    with pytest.raises(StorageError, match=r"bytes of its own|can't be extracted|not allowed"):
        extract(path, target)


@pytest.mark.parametrize("cut", [10, 100, 3000])
def test_a_zip_that_is_cut_short(tmp_path: Path, target: Path, cut: int) -> None:
    path = zipped(tmp_path / "a.zip", zip_member("a", os.urandom(5000)))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(StorageError, match="can't be extracted"):
        extract(path, target)


def test_one_changed_byte_in_a_zip_is_noticed(tmp_path: Path, target: Path) -> None:
    path = zipped(tmp_path / "a.zip", zip_member("a", os.urandom(5000)))
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(StorageError):
        extract(path, target)


@pytest.mark.parametrize(
    "names", [("a/X.jpg", "a/x.jpg"), ("Cat/1.jpg", "cat/2.jpg"), ("ä/1", "Ä/2"), ("b", "a/1", "B")]
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_names_that_differ_in_case_only_are_refused(
    tmp_path: Path, target: Path, names: tuple[str, ...], kind: str
) -> None:
    if kind == "tar":
        archive = packed(tmp_path / "a.tar", *[file(name) for name in names])
    else:
        archive = zipped(tmp_path / "a.zip", *[zip_member(name) for name in names])
    with pytest.raises(StorageError, match="not allowed") as caught:
        extract(archive, target)
    assert "case" in caught.value.problems[0].expected


@pytest.mark.parametrize("name", ["aux", "con.jpg", "a/NUL", "LPT1.png"])
def test_names_that_are_devices_on_windows(tmp_path: Path, target: Path, name: str) -> None:
    with pytest.raises(StorageError, match="not allowed"):
        extract(packed(tmp_path / "a.tar", file(name)), target)


@pytest.mark.parametrize("member", HOSTILE)
def test_all_that_the_filter_of_the_standard_library_refuses_is_refused(
    tmp_path: Path, target: Path, member: str
) -> None:
    for info, _ in HOSTILE[member]():
        try:
            tarfile.data_filter(info, str(target))
        except tarfile.FilterError:
            with pytest.raises(StorageError):
                extract(packed(tmp_path / "a.tar", (info, b"x" * info.size)), target)


def test_a_list_of_what_was_extracted(tmp_path: Path, target: Path) -> None:
    archive = packed(tmp_path / "a.tar", file("a/1", b"123"), special("l", tarfile.SYMTYPE, "a/1"))
    extract(archive, target, listing=tmp_path / "list")
    lines = [json.loads(line) for line in (tmp_path / "list").read_text().splitlines()]
    assert lines == [["a/1", 3, zlib.crc32(b"123")], ["l", 3, zlib.crc32(b"123")]]
