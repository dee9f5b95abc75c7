"""The quick look agrees with the validator wherever it is sure, and is sure of every spec that is right."""

import copy
import math
import random
from typing import Any

import jsonschema
import pytest

from tao_skill.config import ACTIONS
from tao_skill.config.keys import flatten, set_leaf
from tao_skill.config.quick_check import surely_valid
from tao_skill.config.schema import built_schema, template

VALUES = [
    None, True, False, 0, 1, -1, 2.0, 0.5, 1e-9, 1e9, math.nan, math.inf, "", "x", "resnet_50", [], [1], [1, "x"],
    [0.1, 0.2, 0.3], {}, {"x": 1},
]  # fmt: skip
NODES: list[dict[str, Any]] = [
    {"type": "string", "pattern": "^a"},
    {"multipleOf": 4},
    {"const": 1},
    {"not": {"type": "null"}},
    {"type": ["integer", "null"]},
    {"$ref": "#/$defs/x"},
    {"type": "array", "uniqueItems": True},
    {"type": "object", "required": ["y"]},
    {"enum": [1, "x", None]},
    {"type": "object", "additionalProperties": {"type": "string"}},
]


@pytest.mark.parametrize("action", ACTIONS)
def test_it_is_sure_of_templates(action: str) -> None:
    assert surely_valid(template(action), built_schema(action))


@pytest.mark.parametrize("action", ACTIONS)
def test_what_it_is_sure_of_is_valid(action: str) -> None:
    schema = built_schema(action)
    validator = jsonschema.Draft202012Validator(schema)
    chance = random.Random(action)
    sure = 0
    for key in flatten(template(action)):
        for value in chance.sample(VALUES, 6):
            spec = copy.deepcopy(template(action))
            set_leaf(spec, key, value)
            if surely_valid(spec, schema):
                sure += 1
                assert validator.is_valid(spec), (key, value)
    assert sure > 20


@pytest.mark.parametrize("node", NODES, ids=str)
def test_it_leaves_what_it_does_not_know_to_the_validator(node: dict[str, Any]) -> None:
    known = {"$defs": {"x": {"type": "integer"}}} | node
    for value in VALUES:
        if surely_valid(value, node):
            assert jsonschema.Draft202012Validator(known).is_valid(value), value
