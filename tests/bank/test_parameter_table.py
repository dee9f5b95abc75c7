"""Generated tables and the place they go."""

import pytest

from tao_skill.bank.parameter_table import (
    IMPORTANT_TRAIN_PARAMETERS,
    render_parameter_table,
    replace_between_markers,
)
from tao_skill.errors import InternalError, SkillError

TEXT = "before\n<!-- generated: parameters -->\nold\n<!-- end generated -->\nafter\n"


def test_the_table_says_default_bounds_and_meaning() -> None:  # R38 R39 R44
    table = render_parameter_table("train", IMPORTANT_TRAIN_PARAMETERS)
    rows = {line.split("`")[1]: line for line in table.splitlines()[2:]}
    assert list(rows) == list(IMPORTANT_TRAIN_PARAMETERS)
    assert "`256`" in rows["model.feat_dim"]
    assert "nvdinov2_vit_large_legacy" in rows["model.backbone"]
    assert "`0.00035`" in rows["train.optim.trunk.base_lr"]
    assert all(line.count("|") - line.count(r"\|") == 5 for line in table.splitlines())


def test_all_parameters_of_an_action() -> None:
    assert "`evaluate.topk`" in render_parameter_table("evaluate")


def test_an_unknown_parameter_is_our_mistake() -> None:
    with pytest.raises(InternalError, match=r"train\.batch_siz"):
        render_parameter_table("train", ["train.batch_siz"])


def test_replacing_is_repeatable() -> None:
    once = replace_between_markers(TEXT, "parameters", r"\1 new")
    assert once == TEXT.replace("old", r"\1 new")
    assert replace_between_markers(once, "parameters", r"\1 new") == once


def test_an_empty_place_is_filled() -> None:
    assert "new" in replace_between_markers(TEXT.replace("old\n", ""), "parameters", "new")


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT.replace("<!-- end generated -->\n", ""),
        TEXT.replace("parameters", "others"),
        TEXT + TEXT,
        TEXT.replace("old", "<!-- generated: others -->"),
    ],
)
def test_missing_or_double_marks_are_an_error(text: str) -> None:
    with pytest.raises(SkillError, match="not marked"):
        replace_between_markers(text, "parameters", "new")
