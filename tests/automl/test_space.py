"""The search space, from a schema alone."""

from __future__ import annotations

import math
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
    return build_space(json_schema("train"), values, fixed or {}, AutoML(**settings), budget="train.num_epochs")


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


def test_what_has_no_effect_is_left_out_and_said_so() -> None:  # 8.20
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


def test_batch_sizes_are_multiples_with_two_classes_at_least() -> None:  # R41 8.21
    found = space({"dataset.num_instance": 6, "train.batch_size": 24}, automl_hyperparameters=["train.batch_size"])
    assert parameter(found, "train.batch_size").choices == (12, 24, 48, 96)


def test_a_range_of_batch_sizes_is_refused() -> None:  # R43
    key = "train.batch_size"
    said = problems(custom_param_ranges={key: {"valid_min": 8, "valid_max": 64}})
    assert said[key].startswith("valid_options, explicit multiples of dataset.num_instance")
    said = problems(custom_param_ranges={key: {"valid_options": [8, 18]}})
    assert said[key] == "a multiple of dataset.num_instance = 4, such as 16 or 20"
    # Every draw would be refused: two classes in a batch are the least.
    said = problems(custom_param_ranges={key: {"valid_options": [4]}})
    assert said[key] == "8 at least: 2 times dataset.num_instance = 4"
    found = space(custom_param_ranges={key: {"valid_options": [8, 16], "option_weights": [1, 3]}})
    assert (parameter(found, key).choices, parameter(found, key).weights) == ((8, 16), (1, 3))
    # Own ranges add to the usual parameters.
    assert parameter(found, f"{TRUNK}.base_lr")


@pytest.mark.parametrize(
    ("settings", "key", "says"),
    [
        ({NAMES: ["train.optim.trunk.base_rl"]}, "train.optim.trunk.base_rl", f"nearest is {TRUNK}.base_lr"),
        ({NAMES: ["train.optim.steps"]}, "train.optim.steps", "lets AutoML search"),
        ({NAMES: ["train.checkpointer.filename"]}, "train.checkpointer.filename", "this one is a text"),
        ({NAMES: ["train.num_epochs"]}, "train.num_epochs", "automl_max_epochs"),
        ({RANGES: {"train.num_epochs": {"valid_min": 5, "valid_max": 50}}}, "train.num_epochs", "automl_max_epochs"),
        ({NAMES: ["train.checkpoint_interval"]}, "train.checkpoint_interval", "custom_param_ranges"),
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
        ({RANGES: {"train.optim.name": {"disable_list": "Adamax"}}}, "train.optim.name: disable_list", "a list"),
        ({RANGES: {"train.optim.name": {"disable_list": ["Adamx"]}}}, "train.optim.name: disable_list", "some of Adam"),
        ({RANGES: {"train.batch_size": {"valid_options": 16}}}, "train.batch_size: valid_options", "a list"),
        ({RANGES: {"train.batch_size": {"disable_list": 16}}}, "train.batch_size: disable_list", "a list"),
        ({RANGES: {"train.batch_size": [16, 32]}}, "train.batch_size", "a mapping with some of valid_min"),
        ({RANGES: {f"{TRUNK}.base_lr.valid_mxa": 1}}, f"{TRUNK}.base_lr.valid_mxa", "may have valid_min, valid_max"),
        ({RANGES: {f"{TRUNK}.base_lr": {"valid_max": math.nan}}}, f"{TRUNK}.base_lr: valid_max", "a finite number"),
        ({RANGES: {f"{TRUNK}.base_lr": {"valid_options": [math.inf]}}}, f"{TRUNK}.base_lr", "a finite number"),
        ({RANGES: {f"{TRUNK}.base_lr": {"valid_options": [0.1], "valid_max": 0.2}}}, f"{TRUNK}.base_lr", "not both"),
        ({RANGES: {"train.optim.name": {"valid_max": 2}}}, "train.optim.name", "valid_options, some of Adam, SGD"),
        ({RANGES: {"train.smooth_loss": {"valid_min": 0}}}, "train.smooth_loss", "valid_options, some of true, false"),
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


def foreign(settings: dict[str, Any] | None = None, **leaves: dict[str, Any]) -> SearchSpace:
    """Return the space of a schema whose leaves are all searched by default, around their own defaults."""
    schema = {"properties": leaves, "automl_default_parameters": list(leaves)}
    flat = {key: node["default"] for key, node in leaves.items() if "default" in node}
    return build_space(schema, flat, {}, AutoML(**(settings or {})), budget="epochs")


def test_a_usual_parameter_that_cannot_be_searched_is_left_out() -> None:
    leaves = {
        "rate": {"type": "float", "minimum": 0.1, "maximum": 1.0, "default": 0.5},
        "sizes": {"type": "list", "default": [1, 2]},
        "name": {"type": "string", "default": "a"},
        "free": {"type": "int", "minimum": 1, "maximum": math.inf, "default": 1},
        "off": {"type": "bool", "default": True, "automl_enabled": "FALSE"},
        "epochs": {"type": "int", "minimum": 1, "maximum": 9, "default": 3},
    }
    found = foreign(**leaves)
    assert [one.key for one in found.parameters] == ["rate"]
    assert list(found.left_out) == ["sizes", "name", "free", "off", "epochs"]
    assert "this one is a list" in found.left_out["sizes"]
    assert found.left_out["name"] == "it can't be searched; expected: a number, a flag or a choice; this one is a text"
    assert "the schema has no bounds" in found.left_out["free"]
    assert found.left_out["epochs"] == "it is the budget of the search"
    with pytest.raises(SpecError, match="2 parameters"):
        foreign({NAMES: ["rate", "sizes", "free"]}, **leaves)


def test_a_condition_that_is_false_for_good_leaves_its_dependents_out() -> None:
    momentum = f"{TRUNK}.momentum"
    found = space({"train.train_trunk": False}, automl_hyperparameters=["train.optim.name", momentum])
    assert found.left_out == {momentum: "no effect: train.train_trunk is false"}
    ranges = {"train.optim.name": {"disable_list": ["SGD"]}, momentum: {"valid_min": 0.5}}
    assert momentum in space(custom_param_ranges=ranges).left_out
    fixed = {"train.optim.name": "you set it"}
    assert momentum in space(fixed=fixed, automl_hyperparameters=[momentum]).left_out


def test_whole_numbers_are_multiples_inside_their_range() -> None:
    leaf = {"type": "int", "minimum": 1, "maximum": 256, "math_cond": "/ 32", "default": 64}
    one = parameter(foreign(width=leaf), "width")
    assert (one.low, one.high, one.step) == (32, 256, 32)
    assert (one.encode(64), one.encode(65)) == (64, None)
    one = parameter(foreign({RANGES: {"width": {"valid_min": 33, "valid_max": 130}}}, width=leaf), "width")
    assert (one.low, one.high) == (64, 128)
    with pytest.raises(SpecError) as caught:
        foreign({RANGES: {"width": {"valid_min": 33, "valid_max": 60}}}, width=leaf)
    assert "with multiples of 32 between" in caught.value.problems[0].expected
    with pytest.raises(SpecError) as caught:
        foreign({RANGES: {"width": {"valid_options": [64, 65]}}}, width=leaf)
    assert [one.value for one in caught.value.problems] == [65]


def test_powers_are_drawn_where_the_schema_says_so() -> None:
    leaf = {"type": "int", "minimum": 3, "maximum": 256, "math_cond": "^ 2", "default": 64}
    assert parameter(foreign(width=leaf), "width").choices == (4, 8, 16, 32, 64, 128, 256)
    own = {RANGES: {"width": {"valid_min": 10, "valid_max": 70}}}
    assert parameter(foreign(own, width=leaf), "width").choices == (16, 32, 64)


def test_a_search_begins_where_the_schema_says_so() -> None:
    leaves = {
        "share": {"type": "float", "minimum": 0.0, "maximum": 1.0, "math_cond": "> 0.0", "default": 0.5},
        "count": {"type": "int", "minimum": 0, "maximum": 9, "math_cond": "> 0", "default": 5},
        "least": {"type": "int", "minimum": 0, "maximum": 9, "math_cond": ">= 2", "default": 5},
        "open": {"type": "integer", "exclusiveMinimum": 3, "maximum": 9, "default": 5},
    }
    found = foreign(**leaves)
    assert 0 < parameter(found, "share").low < 1e-5
    assert [parameter(found, key).low for key in ("count", "least", "open")] == [1, 2, 4]


@pytest.mark.parametrize(
    ("leaf", "low", "high"),
    [
        ({"minimum": 0.0, "maximum": 1.0, "default": 1e-4}, 1e-6, 1e-2),
        ({"minimum": 0.0, "maximum": 1.0, "default": 0.1}, 1e-3, 1.0),
        ({"minimum": 0.0, "maximum": math.inf, "default": 1e-3}, 1e-5, 1e-1),
        ({"minimum": 0.0, "maximum": 0.1, "default": 0.0}, 1e-7, 0.1),
        ({"minimum": 1e-8, "exclusiveMinimum": 0, "maximum": 1.0, "default": 1e-7}, 1e-8, 1e-5),
        ({"minimum": 1e-3, "maximum": 1.0, "default": 0.5}, 1e-3, 1.0),
    ],
)
@pytest.mark.parametrize("name", ["lr", "base_lr", "learning_rate", "weight_decay", "weight_decay_bias", "lr_backbone"])
def test_rates_of_other_schemas_are_drawn_on_a_log_scale(
    name: str, leaf: dict[str, Any], low: float, high: float
) -> None:
    one = parameter(foreign(**{name: {"type": "float", **leaf}}), name)
    assert (one.low, one.high, one.log) == (pytest.approx(low), pytest.approx(high), True)


def test_what_is_no_rate_is_drawn_as_it_stands() -> None:
    leaf = {"type": "float", "minimum": 0.0, "maximum": 1.0, "default": 0.001}
    one = parameter(foreign(drop_rate=leaf), "drop_rate")
    assert (one.low, one.high, one.log) == (0.0, 1.0, False)


def test_an_own_range_may_leave_one_end_to_the_schema() -> None:
    one = parameter(space(custom_param_ranges={f"{TRUNK}.base_lr": {"valid_min": 0.05}}), f"{TRUNK}.base_lr")
    assert (one.low, one.high, one.log) == (0.05, 1.0, True)
    one = parameter(
        space(custom_param_ranges={f"{TRUNK}.base_lr": {"valid_options": [1e-4, 1e-3]}}), f"{TRUNK}.base_lr"
    )
    assert one.choices == (1e-4, 1e-3)
