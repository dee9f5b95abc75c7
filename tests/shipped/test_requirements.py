"""The list of requirements and the tests that name them."""

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
LISTED = re.findall(r"^\| (R\d+|8\.\d+) \|", (TESTS / "requirements.md").read_text(encoding="utf-8"), re.MULTILINE)


def named() -> set[str]:
    """Return the numbers that comments, docstrings and names of tests hold; "R59 to R68" names all between."""
    found = set()
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        found |= {f"8.{number}" for number in re.findall(r"\bdef test_8_(\d+)", text)}
        for comment in re.findall(r"(?:  # |^\"\"\")(.*)", text, re.MULTILINE):
            found |= set(re.findall(r"\b(?:R\d+|8\.\d+)\b(?!\.)", comment))
            for first, last in re.findall(r"\bR(\d+) to R(\d+)\b", comment):
                found |= {f"R{number}" for number in range(int(first), int(last) + 1)}
    return found


def test_every_requirement_and_every_defect_has_a_test() -> None:
    assert len(LISTED) == len(set(LISTED))
    assert set(LISTED) - named() == set()


def test_no_test_names_what_is_not_listed() -> None:
    assert named() - set(LISTED) == set()
