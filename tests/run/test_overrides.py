"""Overrides in all their forms."""

import json
from pathlib import Path
from typing import Any

import pytest

from tao_skill.config.automl_settings import read_settings
from tao_skill.errors import SpecError
from tao_skill.run.overrides import read_document, read_overrides, read_search_settings

DEMO = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=3", 3),
        ("a.b=3e-4", 3e-4),
        ("a.b=[40, 70]", [40, 70]),
        ("a.b=true", True),
        ("a.b='3'", "3"),
        ("a.b=/x/y=z", "/x/y=z"),
        ("a.b=s3://bucket/key", "s3://bucket/key"),
        ("a.b=null", None),
        ("a.b=", ""),
        (" a.b = x ", "x"),
    ],
)
def test_values_are_yaml(text: str, value: Any) -> None:
    assert read_overrides([text]).values == {"a.b": value}


def test_the_last_wins() -> None:
    given = read_overrides(["a.b=1", '{"a.b": 2}', "num=3", "a.b=4"], {"num": "a.b"})
    assert given.values == {"a.b": 4}
    assert given.sources == {"a.b": "override"}
    assert read_overrides(["a.b=4", "num=3"], {"num": "a.b"}).sources == {"a.b": "shorthand"}
    assert read_overrides(["train.num_epochs=4", "num_epochs=3"], {"num_epochs": "train.num_epochs"}).values == {
        "train.num_epochs": 3
    }


def test_a_section_and_its_leaves_merge() -> None:
    given = read_overrides(['{"dataset.val_dataset": {"reference": "r", "query": "q"}}', "dataset.val_dataset.query=p"])
    assert given.values == {"dataset.val_dataset.reference": "r", "dataset.val_dataset.query": "p"}
    assert read_overrides(["dataset.val_dataset={reference: r}"]).values == {"dataset.val_dataset.reference": "r"}


def test_json_may_be_dotted_nested_or_both() -> None:
    text = '{"train": {"num_epochs": 3, "optim.steps": [1]}, "model.feat_dim": 8}'
    assert read_overrides([text]).values == {"train.num_epochs": 3, "train.optim.steps": [1], "model.feat_dim": 8}


def test_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("train:\n  num_epochs: 3\n")
    (tmp_path / "b.json").write_text('{"train.num_epochs": 4}')
    first, second = f"@{tmp_path}/a.yaml", f"@{tmp_path}/b.json"
    assert read_overrides([first, second]).values == {"train.num_epochs": 4}
    assert read_overrides([second, first]).values == {"train.num_epochs": 3}


def test_the_texts_train_dictionary_works_verbatim() -> None:  # R33
    known = f'f"{{S3_TRAIN}}/{DEMO}/known_classes'
    text = f"""{{
"train.num_epochs": 30,
"train.checkpoint_interval": 10,
"train.validation_interval": 10,
"train.num_gpus": 1,
"dataset.train_dataset": {known}/train.tar.gz",
"dataset.val_dataset": {{"reference": {known}/reference.tar.gz", "query": {known}/val.tar.gz"}},
}}"""
    expected = {
        "train.num_epochs": 30,
        "train.checkpoint_interval": 10,
        "train.validation_interval": 10,
        "train.num_gpus": 1,
        "dataset.train_dataset": f"s3://bucket/data/train/{DEMO}/known_classes/train.tar.gz",
        "dataset.val_dataset.reference": f"s3://bucket/data/train/{DEMO}/known_classes/reference.tar.gz",
        "dataset.val_dataset.query": f"s3://bucket/data/train/{DEMO}/known_classes/val.tar.gz",
    }
    assert read_overrides([text], data_root="s3://bucket/data/train/").values == expected
    without_root = read_overrides([text]).values
    assert sorted(without_root) == sorted(key for key in expected if key.startswith("train."))


def test_the_texts_inference_dictionary_works(tmp_path: Path) -> None:  # R35
    document = {
        "inference.checkpoint": "<selected train/AutoML checkpoint>",
        "dataset.val_dataset": {"reference": "/d/reference.tar.gz"},
        "inference.input_path": "/d/test.tar.gz",
    }
    (tmp_path / "i.json").write_text(json.dumps(document))
    assert read_overrides([f"@{tmp_path}/i.json"]).values == {
        "dataset.val_dataset.reference": "/d/reference.tar.gz",
        "inference.input_path": "/d/test.tar.gz",
    }


@pytest.mark.parametrize("placeholder", ["???", "<required>", "<selected train/AutoML checkpoint>", " ??? "])
def test_placeholders_are_not_given(placeholder: str) -> None:
    assert read_overrides([f"a.b={placeholder}"]).values == {}
    assert read_overrides([json.dumps({"a.b": placeholder})]).values == {}
    assert read_overrides(["a.b=1", f"a.b={placeholder}"]).values == {"a.b": 1}


@pytest.mark.parametrize("text", ["automl_policy=off", '{"automl_policy": "off"}', "{automl_policy: off}"])
def test_the_policy_is_not_a_setting(text: str) -> None:
    given = read_overrides([text, "a.b=1"])
    assert given.automl_policy == "off"
    assert given.values == {"a.b": 1}


def test_everything_unreadable_is_told_at_once(tmp_path: Path) -> None:
    texts = ["no_equals", "a..b=1", "=1", "{broken", f"@{tmp_path}/none.yaml", "a.b=[1", "[1, 2]", '{"": 1}']
    with pytest.raises(SpecError) as caught:
        read_overrides(["good.key=1", *texts])
    assert len(caught.value.problems) == 8
    assert any("none.yaml" in str(problem.value) for problem in caught.value.problems)


def test_a_file_without_the_at_sign_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 1")
    with pytest.raises(SpecError) as caught:
        read_overrides([f"{tmp_path}/a.yaml"])
    assert f"@{tmp_path}/a.yaml" in caught.value.problems[0].expected


def test_a_document_must_be_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("- 1\n- 2\n")
    with pytest.raises(SpecError, match=r"a\.yaml"):
        read_document(tmp_path / "a.yaml")
    with pytest.raises(SpecError):
        read_document(tmp_path)


def test_only_names_of_the_search_itself_are_settings_of_it() -> None:
    given = read_overrides(
        [
            "automl_seed=3",
            "custom_param_ranges.a.b.valid_min=1",
            "metric=euclidean",
            "algorithm.depth=3",
            "max_minutes=5",
        ]
    )
    assert given.values == {"metric": "euclidean", "algorithm.depth": 3, "max_minutes": 5}
    assert given.automl == {"automl_seed": 3, "custom_param_ranges": {"a.b": {"valid_min": 1}}}


@pytest.mark.parametrize(
    ("texts", "settings"),
    [
        (["custom_param_ranges={a.b: {valid_options: [1, 2]}}"], {"a.b": {"valid_options": [1, 2]}}),
        (["custom_param_ranges.a.b.valid_min=1", "custom_param_ranges.a.b.valid_max=2"],
         {"a.b": {"valid_min": 1, "valid_max": 2}}),
        # What is no range is told as such, with the parameter's whole name.
        (["custom_param_ranges={a.b: [16, 32]}"], {"a.b": [16, 32]}),
        (["custom_param_ranges={a.b: 16}", "custom_param_ranges.a.b.valid_min=1"], {"a.b": {"valid_min": 1}}),
        (["custom_param_ranges=5", "custom_param_ranges.a.b.valid_min=1"], {"a.b": {"valid_min": 1}}),
        (['{"automl_settings": {"custom_param_ranges": {"a": {"b": {"valid_min": 1}}}}}'], {"a.b": {"valid_min": 1}}),
    ],
)  # fmt: skip
def test_ranges_are_noted_by_parameter(texts: list[str], settings: dict[str, Any]) -> None:
    assert read_search_settings(texts) == {"custom_param_ranges": settings}


def test_a_setting_that_has_parts_is_none() -> None:
    with pytest.raises(SpecError) as caught:
        read_settings(read_search_settings(["automl_seed=3", "automl_seed.x=1"]))
    (problem,) = caught.value.problems
    assert (problem.key, problem.expected) == ("automl_seed.x", "no such setting; the nearest is automl_seed")


@pytest.mark.parametrize(
    "text",
    ["/data/my #1 set", "exp #3", "2024-01-01", "2024-13-45", "0123", "12:30", "on", "5", "1e3", "a: b: c", "[x"],
)
def test_texts_stay_as_they_were_written(text: str) -> None:
    given = read_overrides([f"wandb.name={text}"], {}, text_keys={"wandb.name"})
    assert given.values == {"wandb.name": text}
    short = read_overrides([f"name={text}"], {"name": "wandb.name"}, text_keys={"wandb.name"})
    assert short.values == given.values


@pytest.mark.parametrize(
    ("text", "value"), [("'0123'", "0123"), ('"a # b"', "a # b"), ("[a, b]", ["a", "b"]), ("null", None), ("", "")]
)
def test_quotes_lists_and_null_mean_the_same_for_texts(text: str, value: Any) -> None:
    assert read_overrides([f"a.b={text}"], text_keys={"a.b"}).values == {"a.b": value}


@pytest.mark.parametrize(
    ("text", "value"),
    [("/data/my #1 set", "/data/my #1 set"), ("2024-13-45", "2024-13-45"), ("0123", "0123"), ("12:30", "12:30")],
)
def test_what_is_no_number_is_none(text: str, value: Any) -> None:
    assert read_overrides([f"a.b={text}"]).values == {"a.b": value}


def test_an_f_before_a_quote_is_part_of_the_text(tmp_path: Path) -> None:
    assert read_overrides(['{"model_name": "plan f"}']).values == {"model_name": "plan f"}
    (tmp_path / "a.yaml").write_text('name: "plan f"\nother: [f"x", "y f"]\n')
    given = read_overrides([f"@{tmp_path}/a.yaml", "{'quoted': \"plan f\"}"])
    assert given.values == {"name": "plan f", "other": ['f"x"', "y f"], "quoted": "plan f"}


@pytest.mark.parametrize(
    "text",
    [
        "x" * 300,
        "a.b=" + "7" * 5000,
        "a.b=" + "[" * 5000,
        "a.b=" + "[" * 100 + "]" * 100,
        '{"a": ' * 3000 + "1" + "}" * 3000,
        '{"a": ' * 30 + "1" + "}" * 30,
        "@loop.yaml",
        "@" + "x" * 300,
        "@~nobody-here/x.yaml",
        "a.b=!!timestamp 2024-13-45",
    ],
)
def test_what_no_parser_can_take_is_a_problem(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop.yaml").write_text("a: &a {b: *a}\n")
    with pytest.raises(SpecError) as caught:
        read_overrides([text, "no_equals"])
    assert len(caught.value.problems) == 2


def test_settings_that_are_too_deep_are_a_problem() -> None:
    deep: dict[str, Any] = {}
    for _ in range(2000):
        deep = {"a": deep}
    with pytest.raises(SpecError, match="can't be read"):
        read_overrides([deep])
