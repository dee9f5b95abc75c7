"""YAML in and out."""

import pytest

from tao_skill.config.yaml_text import dump_yaml, load_yaml
from tao_skill.errors import SpecError


@pytest.mark.parametrize(
    ("text", "value"), [("1e-4", 1e-4), ("3.5E-4", 3.5e-4), (".5", 0.5), ("2e5", 2e5), ("-1e-3", -1e-3)]
)
def test_numbers_with_exponents_are_numbers(text: str, value: float) -> None:
    assert load_yaml(text) == value


@pytest.mark.parametrize("text", ["e4", "1e", "1.2.3", "0x1e-4z", "10:20"])
def test_what_looks_like_a_number_but_is_none_stays_as_it_is(text: str) -> None:
    assert not isinstance(load_yaml(text), float)


def test_objects_are_never_built() -> None:
    with pytest.raises(SpecError):
        load_yaml("!!python/object/apply:os.system ['true']")


def test_broken_text_names_its_source() -> None:
    with pytest.raises(SpecError, match=r"spec\.yaml"):
        load_yaml("a: [1", "spec.yaml")


def test_what_is_written_is_read_back() -> None:
    value = {"rate": 1e-05, "names": ["a", "ü"], "empty": None, "flag": True, "text": "1e-4"}
    assert load_yaml(dump_yaml(value)) == value


@pytest.mark.parametrize("text", ["2024-01-01", "2024-13-45", "12:30", "0123", "08", "1:30:00"])
def test_dates_times_and_leading_zeros_are_texts(text: str) -> None:
    assert load_yaml(text) == text
    assert load_yaml(dump_yaml({"a": text})) == {"a": text}


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("-7", -7), ("1_000", 1000), ("0x1F", 31), ("0b11", 3)])
def test_whole_numbers(text: str, value: int) -> None:
    assert load_yaml(text) == value


@pytest.mark.parametrize("text", ["7" * 5000, "[" * 5000, "a: &a [*a]", "a: &a {b: {c: *a}}"])
def test_what_can_not_be_built_is_told(text: str) -> None:
    with pytest.raises(SpecError, match="not valid YAML"):
        load_yaml(text)
