"""Numbers with their nouns."""

from tao_skill.config.wording import counted


def test_noun_follows_its_number() -> None:
    assert [counted(number, "image") for number in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert [counted(number, "class", "classes") for number in (1, 2)] == ["1 class", "2 classes"]
