"""Dotted keys and nested dictionaries."""

import pytest

from tao_skill.config.keys import flatten, get_leaf, merge, nest, set_leaf
from tao_skill.errors import SpecError


def test_dotted_and_nested_keys_mix() -> None:
    flat = {"dataset.val_dataset": {"reference": "r", "query": "q"}, "train": {"optim.gamma": 0.5}}
    assert nest(flat) == {
        "dataset": {"val_dataset": {"reference": "r", "query": "q"}},
        "train": {"optim": {"gamma": 0.5}},
    }


def test_flatten_undoes_nest() -> None:
    flat = {"a.b.c": 1, "a.d": [1, 2], "e": None, "f.g": {}}
    assert flatten(nest(flat)) == flat


def test_merge_replaces_lists_and_changes_neither() -> None:
    base, over = {"a": {"b": [1, 2], "c": 3}}, {"a": {"b": [9]}}
    assert merge(base, over) == {"a": {"b": [9], "c": 3}}
    assert base == {"a": {"b": [1, 2], "c": 3}}


def test_value_cannot_be_a_section() -> None:
    nested = {"a": 1}
    with pytest.raises(SpecError, match="a is a value"):
        set_leaf(nested, "a.b", 2)
    assert nested == {"a": 1}


def test_missing_path_gives_the_default() -> None:
    assert get_leaf({"a": {"b": 1}}, "a.x.y", "none") == "none"
    assert get_leaf({"a": 1}, "a.b", "none") == "none"
