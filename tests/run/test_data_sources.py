"""R26-R36: where the data is."""

from typing import Any

import pytest

from tao_skill.bank.skill import Skill
from tao_skill.bank.tables import DataSourceRow
from tao_skill.run.data_sources import fill_data_sources

DEMO = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"
TRAIN_KEYS = ("dataset.train_dataset", "dataset.val_dataset.reference", "dataset.val_dataset.query")


@pytest.mark.parametrize("root", ["s3://bucket/data/train", "s3://bucket/data/train/", "s3://bucket/data/train//"])
def test_train(skill: Skill, root: str) -> None:  # R29 R30 R32
    filled, missing = fill_data_sources(skill.data_source_rows("train"), root, {})
    assert missing == []
    assert filled == {
        "dataset.train_dataset": f"s3://bucket/data/train/{DEMO}/known_classes/train.tar.gz",
        "dataset.val_dataset.reference": f"s3://bucket/data/train/{DEMO}/known_classes/reference.tar.gz",
        "dataset.val_dataset.query": f"s3://bucket/data/train/{DEMO}/known_classes/val.tar.gz",
    }


def test_evaluate_and_inference(skill: Skill) -> None:  # R26 R27 R28
    filled, _ = fill_data_sources(skill.data_source_rows("evaluate"), "/", {})
    assert filled == {
        "dataset.val_dataset.reference": f"/{DEMO}/unknown_classes/reference.tar.gz",
        "dataset.val_dataset.query": f"/{DEMO}/unknown_classes/test.tar.gz",
    }
    filled, _ = fill_data_sources(skill.data_source_rows("inference"), "/d", {})
    assert filled == {
        "dataset.val_dataset.reference": f"/d/{DEMO}/unknown_classes/reference.tar.gz",
        "inference.input_path": f"/d/{DEMO}/unknown_classes/test.tar.gz",
    }


def test_explicit_values_win_also_in_part(skill: Skill) -> None:
    explicit = {
        "dataset.val_dataset.reference": "/mine",
        "dataset.val_dataset.query": "",
        "dataset.train_dataset": None,
    }
    filled, missing = fill_data_sources(skill.data_source_rows("train"), "/d", explicit)
    assert missing == []
    assert sorted(filled) == ["dataset.train_dataset", "dataset.val_dataset.query"]


@pytest.mark.parametrize("root", [None, "", "<root>", "???"])
def test_all_that_is_missing_is_named_with_the_path_expected(skill: Skill, root: str | None) -> None:  # R31
    filled, missing = fill_data_sources(skill.data_source_rows("train"), root, {})
    assert filled == {}
    assert tuple(problem.key for problem in missing) == TRAIN_KEYS
    assert f"{DEMO}/known_classes/val.tar.gz" in missing[2].expected


@pytest.mark.parametrize("empty", ["", None, "???", [], {}])
def test_an_explicit_but_empty_value_is_missing_too(skill: Skill, empty: Any) -> None:  # R31
    explicit = {
        "dataset.train_dataset": empty,
        "dataset.val_dataset.reference": "/r",
        "dataset.val_dataset.query": "/q",
    }
    _, missing = fill_data_sources(skill.data_source_rows("train"), None, explicit)
    assert [(problem.key, problem.value) for problem in missing] == [("dataset.train_dataset", empty)]


def test_a_value_for_the_whole_section_is_left_to_the_spec_check(skill: Skill) -> None:
    explicit = {"dataset.val_dataset": "/oops", "dataset.train_dataset": "/t"}
    assert fill_data_sources(skill.data_source_rows("train"), "/d", explicit) == ({}, [])


def test_lists_and_optional_keys() -> None:  # R75
    row = DataSourceRow("gen_trt_engine", "a.images", "train_datasets", "x/test.tar.gz", True, 1)
    assert fill_data_sources([row], "/d", {}) == ({"a.images": ["/d/x/test.tar.gz"]}, [])
    assert fill_data_sources([row], None, {}, optional=["a.images"]) == ({}, [])
    assert [problem.key for problem in fill_data_sources([row], None, {})[1]] == ["a.images"]


def test_what_another_input_replaces_stays_open(skill: Skill) -> None:
    replaced = ["dataset.val_dataset.reference"]
    filled, missing = fill_data_sources(skill.data_source_rows("evaluate"), "/d", {}, unread=replaced)
    assert list(filled) == ["dataset.val_dataset.query"]
    _, missing = fill_data_sources(skill.data_source_rows("evaluate"), None, {}, unread=replaced)
    assert [problem.key for problem in missing] == ["dataset.val_dataset.query"]
