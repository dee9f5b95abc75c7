"""The JSON Schemas that the dataclasses give."""

import csv
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tao_skill.config import ACTIONS, DEPLOY_ACTIONS
from tao_skill.config.deploy_template import deploy_template
from tao_skill.config.keys import flatten
from tao_skill.config.leaves import known_keys, leaves
from tao_skill.config.schema import built_schema, template

FIELDS = Path(__file__).parent / "peer_fields.csv"
LEAF_TYPES = {"number", "integer", "boolean", "string", "array"}


def nodes(properties: dict[str, Any], prefix: str = "") -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name, node in properties.items():
        found.append((prefix + name, node))
        found += nodes(node.get("properties", {}), f"{prefix}{name}.")
    return found


@pytest.mark.parametrize("action", ACTIONS)
def test_schema_is_valid_draft_2020_12(action: str) -> None:  # R7 8.26
    jsonschema.Draft202012Validator.check_schema(built_schema(action))


@pytest.mark.parametrize("action", ACTIONS)
def test_template_is_the_default_and_validates(action: str) -> None:  # R8
    assert template(action) == built_schema(action)["default"]
    jsonschema.Draft202012Validator(built_schema(action)).validate(template(action))


@pytest.mark.parametrize("action", DEPLOY_ACTIONS)
def test_deploy_template_validates_and_asks_for_an_engine(action: str) -> None:  # R6
    spec = deploy_template(action)
    jsonschema.Draft202012Validator(built_schema(action)).validate(spec)
    assert flatten(spec)[f"{action}.trt_engine"] == "???"


@pytest.mark.parametrize("action", ACTIONS)
def test_strict_loaders_can_read_every_node(action: str) -> None:
    for key, node in nodes(built_schema(action)["properties"]):
        assert not {"$ref", "oneOf", "const", "allOf"} & set(node), key
        if "properties" in node:
            assert node["type"] == "object", key
            assert node["properties"], key
            continue
        branches = [branch for branch in node.get("anyOf", [node]) if branch.get("type") != "null"]
        assert len(branches) == 1, key
        assert ("type" in node) != ("anyOf" in node), key
        assert branches[0]["type"] in LEAF_TYPES, key
        assert "default" in node, key
        assert node["default"] is not None or "anyOf" in node, key
        if node.get("automl_enabled"):
            assert branches[0]["type"] in ("number", "integer"), key
            assert {"minimum", "maximum"} <= set(branches[0]), key
        if "option_weights" in node:
            assert len(node["option_weights"]) == len(branches[0]["enum"]), key
            assert min(node["option_weights"]) >= 0 < sum(node["option_weights"]), key
        for bound in ("minimum", "maximum", "exclusiveMinimum"):
            if bound in branches[0]:
                assert math.isfinite(branches[0][bound]), key


def test_rates_and_decays_are_searched_on_a_log_scale_inside_their_bounds() -> None:  # R11
    searched = {leaf.key: leaf for leaf in leaves("train") if leaf.facts.get("automl_enabled") is True}
    for key, leaf in searched.items():
        search = leaf.facts["x_search"]
        assert leaf.minimum <= search["low"] < search["high"] <= leaf.maximum, key
        assert search["log"] == any(word in key for word in ("base_lr", "weight_decay", "gamma", "warmup_factor")), key


def test_the_starting_points_of_a_search_name_what_is_searched_with_values_inside_its_range() -> None:  # R11
    searched = {leaf.key: leaf for leaf in leaves("train") if leaf.facts.get("automl_enabled") is True}
    points = built_schema("train")["automl_starting_points"]
    assert len(points) == len({tuple(sorted(point.items())) for point in points}) >= 2
    for key, value in (item for point in points for item in point.items()):
        search = searched[key].facts["x_search"]
        assert search["low"] <= value <= search["high"], key
    assert built_schema("evaluate")["automl_starting_points"] == []


def peer_fields() -> list[dict[str, str]]:
    with FIELDS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# Where this project differs from the peer on purpose.
OWN_DEFAULT = {
    "dataset.val_dataset": None,
    "gen_trt_engine.tensorrt.calibration.cal_image_dir": [],
    "export.opset_version": 18,
}
# Choices of this project beside the peer's.
OWN_CHOICES = {"gen_trt_engine.tensorrt.data_type": {"BF16"}}


@pytest.mark.parametrize("field", peer_fields(), ids=lambda field: field["key"])
def test_every_field_of_the_peer_is_there_with_its_facts(field: dict[str, str]) -> None:
    import json

    key = field["key"]
    action = next((action for action in ACTIONS if key in dict(nodes(built_schema(action)["properties"]))), None)
    assert action is not None, f"{key} is in no schema"
    node = dict(nodes(built_schema(action)["properties"]))[key]
    value = next(branch for branch in node.get("anyOf", [node]) if branch.get("type") != "null")
    if field["automl"]:
        assert node.get("automl_enabled") is (field["automl"] == "TRUE")
    if "properties" in node:
        return
    expected = OWN_DEFAULT.get(key, json.loads(field["default"]))
    assert node["default"] == expected
    if field["options"]:
        theirs = {option.strip() for option in field["options"].split(",")}
        assert set(value["enum"]) == theirs | OWN_CHOICES.get(key, set())
    assert node.get("math_cond", "") == field["math_cond"]
    assert node.get("depends_on", "") == field["depends_on"]
    assert node.get("parent_param", "") == field["parent_param"]
    assert bool(node.get("popular")) == (field["popular"] == "yes")
    if field["maximum"] not in ("", "inf"):
        assert value["maximum"] == float(field["maximum"])
    if field["minimum"]:
        # "More than 0" is written as a smallest value for loaders that know no exclusive bound.
        exclusive = value.get("exclusiveMinimum") == 0
        assert value["minimum"] == (1e-8 if exclusive else float(field["minimum"]))


def test_an_action_carries_only_its_own_sections() -> None:
    sections = {action: set(built_schema(action)["properties"]) for action in ACTIONS}
    assert "train" not in sections["export"]
    assert "evaluate" not in sections["train"]
    assert "dataset.prob" not in {leaf.key for leaf in leaves("evaluate")}
    assert known_keys()["dataset.prob"] == ("train",)


def test_additions_have_the_promised_defaults() -> None:
    assert template("train")["train"]["cross_batch_memory_size"] == -1
    assert template("train")["model"]["timm_name"] == ""
    assert template("evaluate")["evaluate"]["open_set"] is False
