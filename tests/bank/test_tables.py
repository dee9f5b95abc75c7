"""The tables of SKILL.md as code reads them."""

import pytest

from tao_skill.bank.tables import DATA_SOURCE_HEADER, DataSourceRow, parse_data_sources, parse_inference
from tao_skill.errors import SkillError

SOURCES = """# Title

| Action | Spec Key | Source | Files | List? |
|:---|---|---|---|---:|
| train | `dataset.train_dataset` | train_datasets | a/train.tar.gz | No |
| inference | dataset.val_dataset | train_datasets | reference: a/r.tar.gz, query: | no |
| gen | x.y | train_datasets | a/c.tar.gz | Yes |

After | the table.
"""
FUNCTIONS = """
| Action | Spec Field | Inference Function | Meaning |
|---|---|---|---|
| train | `results_dir` | `output_dir` | folder |
| train (AutoML) | a.b | `assign_const_value,train.num_epochs, c.d` | a \\| b |
"""


def test_rows_and_their_lines() -> None:
    rows = parse_data_sources(SOURCES)
    assert rows[0] == DataSourceRow("train", "dataset.train_dataset", "train_datasets", "a/train.tar.gz", False, 5)
    assert [row.line for row in rows] == [5, 6, 7]
    assert [row.is_list for row in rows] == [False, False, True]


def test_an_empty_query_parses_to_an_empty_path() -> None:  # R27
    assert parse_data_sources(SOURCES)[1].files == {"reference": "a/r.tar.gz", "query": ""}


def test_function_arguments_and_escaped_bars() -> None:
    first, second = parse_inference(FUNCTIONS)
    assert (first.function, first.args) == ("output_dir", ())
    assert (second.action, second.function) == ("train (AutoML)", "assign_const_value")
    assert second.args == ("train.num_epochs", "c.d")
    assert second.meaning == "a | b"


def test_a_table_inside_fenced_code_is_no_table() -> None:
    with pytest.raises(SkillError, match="malformed table"):
        parse_data_sources(f"```markdown\n{SOURCES}\n```\n")
    assert len(parse_data_sources(f"```\n{SOURCES}\n```\n{SOURCES}")) == 3


@pytest.mark.parametrize("text", ["", "no table here", SOURCES + SOURCES])
def test_no_table_or_two_are_errors(text: str) -> None:
    with pytest.raises(SkillError) as caught:
        parse_data_sources(text)
    assert caught.value.problems[0].expected == "exactly one table with these columns"


GOOD = "| train | a.b | train_datasets | x/y.tar.gz | No |"


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("| train | a.b | train_datasets | x/y.tar.gz |", "row"),
        ("| train | a.b | train_datasets | x/y.tar.gz | No | more |", "row"),
        ("| Train it | a.b | train_datasets | x/y.tar.gz | No |", "Action"),
        ("| train (AutoML) | a.b | train_datasets | x/y.tar.gz | No |", "Action"),
        ("|  | a.b | train_datasets | x/y.tar.gz | No |", "Action"),
        ("| train | a..b | train_datasets | x/y.tar.gz | No |", "Spec Key"),
        ("| train | a.b |  | x/y.tar.gz | No |", "Source"),
        ("| train | a.b | train_datasets |  | No |", "Files"),
        ("| train | a.b | train_datasets | /x/y.tar.gz | No |", "Files"),
        ("| train | a.b | train_datasets | ../y.tar.gz | No |", "Files"),
        ("| train | a.b | train_datasets | reference x.tar.gz | No |", "Files"),
        ("| train | a.b | train_datasets | x.tar.gz, y.tar.gz | No |", "Files"),
        ("| train | a.b | train_datasets | reference: x, y.tar.gz | No |", "Files"),
        ("| train | a.b | train_datasets | query: x, query: y | No |", "Files"),
        ("| train | a.b | train_datasets | x/y.tar.gz | maybe |", "List?"),
        ("| train | a.b | train_datasets | x/y.tar.gz |  |", "List?"),
    ],
)
def test_a_malformed_row_is_an_error_with_its_line(row: str, column: str) -> None:
    header = f"| {' | '.join(DATA_SOURCE_HEADER)} |\n|---|---|---|---|---|\n"
    assert len(parse_data_sources(header + GOOD)) == 1
    with pytest.raises(SkillError) as caught:
        parse_data_sources(f"\n\n{header}{GOOD.replace('a.b', 'c.d')}\n{row}\n", "S.md")
    assert [problem.key for problem in caught.value.problems] == [f"S.md line 6, {column}"]


def test_all_malformed_rows_are_told_at_once() -> None:
    text = SOURCES.replace("| No |", "| maybe |").replace("x.y", "X!")
    with pytest.raises(SkillError) as caught:
        parse_data_sources(text)
    assert [problem.key for problem in caught.value.problems] == [
        "SKILL.md line 5, List?",
        "SKILL.md line 7, Spec Key",
    ]


@pytest.mark.parametrize(
    ("cell", "column"),
    [("Output Dir", "Inference Function"), ("f,", "Inference Function"), ("", "Inference Function")],
)
def test_a_malformed_function_is_an_error(cell: str, column: str) -> None:
    with pytest.raises(SkillError) as caught:
        parse_inference(FUNCTIONS.replace("`output_dir`", cell))
    assert caught.value.problems[0].key == f"SKILL.md line 4, {column}"


def test_two_rows_for_one_field_are_an_error() -> None:
    twice = FUNCTIONS + "| train | results_dir | other | folder |\n"
    with pytest.raises(SkillError) as caught:
        parse_inference(twice)
    assert caught.value.problems[0].key == "SKILL.md line 6"
    assert "line 4" in caught.value.problems[0].expected


def test_header_without_rows_or_without_its_ruler() -> None:
    header = f"| {' | '.join(DATA_SOURCE_HEADER)} |\n"
    for text in (header, header + "|---|---|---|---|---|\n", header + GOOD):
        with pytest.raises(SkillError):
            parse_data_sources(text)
