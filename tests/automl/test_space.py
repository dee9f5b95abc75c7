"""The search space, from a schema alone."""

from __future__ import annotations

from typing import Any

import pytest

from tao_skill.automl.parameter import Parameter
from tao_skill.automl.space import SearchSpace, build_space
from tao_skill.config.automl import AutoML
from tao_skill.config.keys import flatten
from tao_skill.config.schema import json_schema, template
from tao_skill.errors import SpecError

TRUNK = "train.optim.trunk"
RANGES = "custom_param_ranges"
NAMES = "automl_hyperparameters"


def space(flat: dict[str, Any] | None = None, fixed: dict[str, str] | None = None, **settings: Any) -> SearchSpace:
    values = flatten(template("train")) | {"train.batch_size": 16} | (flat or {})
    return build_space(json_schema("train"), values, fixed or {}, AutoML(**settings))


def parameter(found: SearchSpace, key: str) -> Parameter:
    return next(one for one in found.parameters if one.key == key)


def problems(**settings: Any) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        space(**settings)
    return {problem.key: problem.expected for problem in caught.value.problems}


def test_the_schemas_default_parameters_are_searched_on_the_scale_that_fits() -> None:  # R11
    found = space()
    keys = {one.key for one in found.parameters} | set(found.left_out)
    assert keys == set(json_schema("train")["automl_default_parameters"])
    rate = parameter(found, f"{TRUNK}.base_lr")
    assert (rate.low, rate.high, rate.log) == (1e-5, 1e-2, True)
    assert parameter(found, "train.optim.warmup_iters").kind == "integer"


def test_what_has_no_effect_is_left_out_and_said_so() -> None:
    found = space()
    assert found.left_out[f"{TRUNK}.momentum"] == "no effect: Adam has no momentum setting"
    assert "no decay epoch of [40, 70] comes before the end" in found.left_out["train.optim.gamma"]
    with_sgd = space({"train.optim.name": "SGD", "train.num_epochs": 60})
    assert parameter(with_sgd, f"{TRUNK}.momentum").low == 0.8
    assert "train.optim.gamma" not in with_sgd.left_out
    frozen = space({"train.train_trunk": False})
    assert frozen.left_out[f"{TRUNK}.base_lr"] == "no effect: train.train_trunk is false"
    proxies = space({"train.loss.name": "arcface"})
    assert "train.optim.triplet_loss_margin" in proxies.left_out
    assert "train.optim.miner_function_margin" in proxies.left_out


def test_a_condition_that_is_searched_itself_leaves_its_dependents_in() -> None:
    found = space(automl_hyperparameters=["train.optim.name", f"{TRUNK}.momentum"])
    assert found.left_out == {}
    optimizer = parameter(found, "train.optim.name")
    assert (optimizer.choices, optimizer.weights) == (("Adam", "SGD", "Adamax"), (0.6, 0.3, 0.1))


def test_what_the_user_set_stays_unless_asked_for() -> None:
    fixed = {f"{TRUNK}.base_lr": "you set it"}
    assert space(fixed=fixed).left_out[f"{TRUNK}.base_lr"] == "you set it"
    assert parameter(space(fixed=fixed, automl_hyperparameters=[f"{TRUNK}.base_lr"]), f"{TRUNK}.base_lr")


def test_warm_up_ends_within_the_training() -> None:
    assert (
        parameter(space({"train.num_epochs": 12, "train.optim.warmup_iters": 2}), "train.optim.warmup_iters").high == 6
    )


def test_the_range_holds_the_present_value() -> None:
    assert parameter(space({f"{TRUNK}.base_lr": 0.2}), f"{TRUNK}.base_lr").high == 0.2


def test_batch_sizes_are_multiples_with_two_classes_at_least() -> None:  # R41
    found = space({"dataset.num_instance": 6, "train.batch_size": 24}, automl_hyperparameters=["train.batch_size"])
    assert parameter(found, "train.batch_size").choices == (12, 24, 48, 96)


def test_a_range_of_batch_sizes_is_refused() -> None:  # R43
    key = "train.batch_size"
    said = problems(custom_param_ranges={key: {"valid_min": 8, "valid_max": 64}})
    assert said[key].startswith("valid_options, explicit multiples of dataset.num_instance")
    assert (
        problems(custom_param_ranges={key: {"valid_options": [8, 18]}})[key] == "a multiple of dataset.num_instance = 4"
    )
    found = space(custom_param_ranges={key: {"valid_options": [8, 16], "option_weights": [1, 3]}})
    assert (parameter(found, key).choices, parameter(found, key).weights) == ((8, 16), (1, 3))
    # Own ranges add to the usual parameters.
    assert parameter(found, f"{TRUNK}.base_lr")


@pytest.mark.parametrize(
    ("settings", "key", "says"),
    [
        ({NAMES: ["train.optim.trunk.base_rl"]}, "train.optim.trunk.base_rl", f"nearest is {TRUNK}.base_lr"),
        ({NAMES: ["train.optim.steps"]}, "train.optim.steps", "lets AutoML search"),
        ({NAMES: ["train.checkpointer.filename"]}, "train.checkpointer.filename", "this one is a string"),
        ({NAMES: ["train.num_epochs"]}, "train.num_epochs", "custom_param_ranges"),
        ({RANGES: {f"{TRUNK}.base_lr": {"valid_max": 2.0}}}, f"{TRUNK}.base_lr: valid_max", "≤ 1"),
        ({RANGES: {f"{TRUNK}.base_lr": {"valid_min": 0}}}, f"{TRUNK}.base_lr: valid_min", "> 0"),
        ({RANGES: {f"{TRUNK}.base_lr": {"valid_min": 0.1, "valid_max": 0.1}}}, f"{TRUNK}.base_lr", "below"),
        ({RANGES: {f"{TRUNK}.base_lr": {"low": 0.1}}}, f"{TRUNK}.base_lr: low", "valid_min"),
        ({RANGES: {f"{TRUNK}.base_lr": [1, 2]}}, f"{TRUNK}.base_lr", "a mapping"),
        ({RANGES: {"train.optim.name": {"valid_options": ["Lion"]}}}, "train.optim.name", "one of Adam"),
        (
            {"custom_param_ranges": {"train.optim.name": {"valid_options": ["Adam"], "option_weights": [1, 2]}}},
            "train.optim.name: option_weights",
            "1 numbers",
        ),
        ({RANGES: {"train.optim.name": {"disable_list": ["Adam", "SGD", "Adamax"]}}}, "train.optim.name", "left"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_told_before_anything_starts(settings: dict[str, Any], key: str, says: str) -> None:
    assert says in problems(**settings)[key]


def test_everything_wrong_is_told_at_once() -> None:
    ranges = {f"{TRUNK}.base_lr": {"valid_max": 2.0}, "train.optim.nmae": {"valid_options": ["SGD"]}}
    assert len(problems(custom_param_ranges=ranges)) == 2


def test_schemas_in_the_peers_own_words_are_understood() -> None:
    schema = {
        "type": "object",
        "properties": {
            "rate": {
                "type": "float",
                "minimum": 0.0,
                "maximum": 1.0,
                "automl_enabled": "TRUE",
                "depends_on": "> floor",
            },
            "floor": {"type": "float", "minimum": 0.0, "maximum": 1.0},
            "width": {"type": "int", "minimum": 32, "maximum": 128, "math_cond": "/ 32", "automl_enabled": True},
            "mode": {"type": "categorical", "enum": ["a", "b"], "automl_enabled": True},
            "flag": {"type": "bool", "automl_enabled": True},
            "automl_disabled_parameters": ["flag"],
        },
        "automl_disabled_parameters": ["flag"],
    }
    found = build_space(schema, {"rate": 0.5, "floor": 0.2, "width": 64, "mode": "a", "flag": True}, {}, AutoML())
    assert [one.key for one in found.parameters] == ["rate", "width", "mode"]
    assert parameter(found, "width").step == 32
    assert [one.key for one in found.problems({"rate": 0.1, "floor": 0.2, "width": 33, "mode": "a"})] == [
        "rate",
        "width",
    ]


def test_an_option_owns_a_share_as_large_as_its_weight() -> None:
    one = Parameter("mode", "choice", choices=("a", "b"), weights=(3, 1))
    assert [one.decode(share) for share in (0.0, 0.74, 0.76, 1.0)] == ["a", "a", "b", "b"]
    assert one.decode(one.encode("b") or 0.0) == "b"
    assert one.encode("c") is None
