"""What an agent may reach: the allowed roots, against everything that pretends to lie below them."""

from pathlib import Path

import pytest

from tao_skill.agent.roots import Roots
from tao_skill.errors import UsageError


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "in" / "leak").symlink_to(tmp_path / "outside")
    (tmp_path / "in" / "twice").symlink_to(tmp_path / "in" / "leak")
    (tmp_path / "in" / "inner").symlink_to(tmp_path / "in" / "deep")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in" / "loop")
    (tmp_path / "inside").mkdir()
    return Roots.of([str(tmp_path / "in"), "s3://bucket/data/train", "https://host.example/files"])


@pytest.mark.parametrize(
    "place", ["in", "in/deep/x.tar.gz", "in/deep/../new", "in/inner/a", "in/not/there", "in/with space"]
)
def test_places_below_a_root(roots: Roots, tmp_path: Path, place: str) -> None:
    assert roots.refusal(str(tmp_path / place)) == ""
    assert roots.refusal(f"file://{tmp_path / place}".replace(" ", "%20")) == ""


@pytest.mark.parametrize(
    "place",
    [
        "in/../outside",
        "inside",
        "in/leak",
        "in/leak/x",
        "in/twice/x",
        "in/deep/../../outside/x",
        "in/inner/../../outside",
    ],
)
def test_places_elsewhere(roots: Roots, tmp_path: Path, place: str) -> None:
    assert str(tmp_path / "in") in roots.refusal(str(tmp_path / place))
    assert roots.refusal(f"file://{tmp_path / place}")


@pytest.mark.parametrize(
    "place",
    [
        "/etc/passwd", "~/x", "~root/x", "/proc/self/environ", "in/\x00x", "a\nb", "x" * 5000, "/" + "y" * 300,
        "file:///etc/passwd", "file://localhost/etc/passwd", "file://other/in", "FILE:///etc/passwd",
        "file:///etc%2fpasswd", "file:///%2e%2e/etc", "file:///tmp%00/x",
    ],
)  # fmt: skip
def test_hostile_paths(roots: Roots, place: str) -> None:
    assert roots.refusal(place)


def test_encoded_dots_in_a_file_uri_are_followed(roots: Roots, tmp_path: Path) -> None:
    assert roots.refusal(f"file://{tmp_path}/in/%2e%2e/outside")
    assert roots.refusal(f"file://{tmp_path}/in/%2E%2E%2Foutside")


def test_what_lies_elsewhere_is_not_told(roots: Roots, tmp_path: Path) -> None:
    (tmp_path / "outside" / "file").write_text("")
    (tmp_path / "outside" / "link").symlink_to(tmp_path / "inside")
    told = {roots.refusal(str(tmp_path / "outside" / name)) for name in ("file/x", "none/x", "link", "none")}
    assert len(told) == 1


def test_a_link_to_itself_goes_nowhere(roots: Roots, tmp_path: Path) -> None:
    assert roots.refusal(str(tmp_path / "in" / "loop")) == ""  # stays below the root, and can't be read


@pytest.mark.parametrize(
    "uri", ["s3://bucket/data/train", "s3://bucket/data/train/a/b.tar.gz", "https://host.example/files/a?sig=1"]
)
def test_uris_below_a_prefix(roots: Roots, uri: str) -> None:
    assert roots.refusal(uri) == ""


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/data/training", "s3://bucket/data", "s3://bucket/data/train?old/x", "s3://bucket/data/train#2/x",
        "s3://bucket/data/%74rain/x", "s3://bucket//data/train/x", "s3://bucket/data//train/x",
        "s3://other/data/train/x", "s3://bucket/data/train/../x", "s3://bucket/data/train/%2e%2e/x",
        "https://host.example/files%2f..%2fx", "https://host.example.evil/files/x",
        "https://user@host.example/files/x", "https://host.example@evil/files/x", "https://host.example/files\\..\\x",
        "http://host.example/files/x", "http://169.254.169.254/latest", "ftp://host.example/files/x",
        "https://[bad/x", "hf_model://a/b", "gopher://x",
    ],
)  # fmt: skip
def test_uris_elsewhere(roots: Roots, uri: str) -> None:
    assert roots.refusal(uri)


def test_a_root_below_another_adds_nothing(roots: Roots, tmp_path: Path) -> None:
    assert roots.with_root(str(tmp_path / "in" / "results")) == roots
    assert roots.with_root(str(tmp_path / "outside")).refusal(str(tmp_path / "outside" / "x")) == ""


def test_a_whole_scheme_may_be_allowed() -> None:
    roots = Roots.of(["s3://"])
    assert roots.refusal("s3://any/thing") == ""
    assert roots.refusal("https://any/thing")


def test_the_bucket_of_the_environment_is_the_only_one_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_BUCKET_NAME", "mine")
    for roots in (Roots.of(["s3:///data"]), Roots.of([]).with_root("s3:///data")):
        assert roots.refusal("s3:///data/x") == roots.refusal("s3://mine/data/x") == ""
        assert roots.refusal("s3://other/data/x")
        assert roots.refusal("s3:///more")
    everything = Roots.of([]).with_root("s3:///")
    assert everything.refusal("s3://mine/x") == ""
    assert everything.refusal("s3://other/x")
    assert Roots.of(["s3://"]).refusal("s3://other/x") == ""


def test_without_a_word_the_working_folder_is_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Roots.of([]).refusal("x") == ""
    assert Roots.of([]).refusal("/etc")
    (tmp_path / "a b").mkdir()
    monkeypatch.setenv("TAO_SKILL_ALLOWED_ROOTS", f"{tmp_path / 'a b'};s3://bucket")
    assert Roots.of([]).refusal("x")
    assert Roots.of([]).refusal("a b/x") == ""
    assert Roots.of([]).refusal("s3://bucket/x") == ""


def test_a_root_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        Roots.of([str(tmp_path / "none")])
