"""The page of queries and their nearest references: order, verdicts, and that it is whole by itself."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from tao_skill.metric_learning.data.fingerprints import sha256_of
from tao_skill.metric_learning.match_page import shown, write_match_page
from tao_skill.metric_learning.retrieval.open_set import Threshold

AT_HALF = Threshold(0.5, "setting")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (300, 200), (200, 30, 40)).save(tmp_path / "a <b>.png")
    return tmp_path / "a <b>.png"


def test_what_became_of_a_query(picture: Path) -> None:
    def state(truth: str | None, label: str, distance: float) -> str:
        return shown(picture, truth, [(label, distance, picture)], AT_HALF).state

    assert state("cat", "dog", 0.1) == state("cat", "dog", 0.9) == "wrong"
    assert state("cat", "cat", 0.5) == "right"
    assert state("cat", "cat", 0.51) == state(None, "cat", 0.51) == "unknown"
    assert state(None, "cat", 0.2) == "new"


def test_of_what_the_reference_lacks_only_the_recognised_is_wrong(picture: Path) -> None:
    """Queries that open-set evaluation rightly rejects would come first, as its worst mistakes."""

    def state(distance: float, threshold: Threshold = AT_HALF) -> str:
        return shown(picture, "cat", [("dog", distance, picture)], threshold, is_known=False).state

    assert state(0.5) == "wrong"
    assert state(0.6) == "right"
    assert state(0.6, Threshold(None, "none")) == "wrong"


def test_wrong_ones_come_first_the_surest_before_the_others(picture: Path, tmp_path: Path) -> None:
    asked = [("cat", "cat", 0.1), ("cat", "cat", 0.4), ("cat", "dog", 0.6), ("cat", "fox", 0.2), ("cat", "cat", 0.8)]
    queries = [shown(picture, truth, [(label, far, picture)], AT_HALF) for truth, label, far in asked]
    write_match_page(tmp_path / "new" / "page.html", queries, 4, "A & B")
    text = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert re.findall(r"<br>(0\.\d+)<", text) == ["0.200", "0.600", "0.800", "0.400"]
    assert "2 wrong" in text
    assert "1 unknown" in text
    assert "2 right" in text
    assert "A &amp; B" in text


def test_the_page_is_whole_by_itself_and_names_are_escaped(picture: Path, tmp_path: Path) -> None:
    matches = [("<script>", 0.1, picture), ("gone", 0.2, tmp_path / "gone.png")]
    write_match_page(tmp_path / "page.html", [shown(picture, "<i>", matches, AT_HALF)], 9, "t")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    sources: list[str] = []
    tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            sources.extend(value or "" for name, value in attrs if name in ("src", "href"))

    Reader().feed(text)
    assert len(sources) == 2
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not {"script", "i"} & set(tags)
    assert "no image" in text
    assert "http" not in text


def test_no_query_gives_a_page_all_the_same(tmp_path: Path) -> None:
    write_match_page(tmp_path / "page.html", [], 9, "t")
    assert "Shown: 0" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_of_a_gallery_only_what_was_embedded_is_shown(picture: Path, tmp_path: Path) -> None:
    """A gallery may name any file, such as one that whoever wrote it can't read."""
    private = tmp_path / "private.png"
    Image.new("RGB", (30, 20), (1, 2, 3)).save(private)
    digests = {picture: sha256_of(picture), private: sha256_of(picture), tmp_path / "none.png": "", tmp_path: ""}
    queries = [shown(picture, None, [("x", 0.1, path) for path in digests], AT_HALF)]
    write_match_page(tmp_path / "page.html", queries, 9, "t", digests)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("<img ") == 2  # the query and the one reference
    assert text.count("no image") == 3
    write_match_page(tmp_path / "page.html", queries, 9, "t")
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("<img ") == 3
