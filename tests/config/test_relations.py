"""Relations between parameters, as any schema may state them."""

from typing import Any

from tao_skill.config.leaves import schema_leaves
from tao_skill.config.relations import relation_problems, without_effect


def leaves(**properties: dict[str, Any]) -> Any:
    return schema_leaves({"properties": properties})


def test_multiples() -> None:  # R41
    found = leaves(batch={"type": "integer", "x_multiple_of": {"key": "group"}}, group={"type": "integer"})
    assert relation_problems(found, {"batch": 16, "group": 4}) == []
    (problem,) = relation_problems(found, {"batch": 18, "group": 4})
    assert problem.expected == "a multiple of group = 4, such as 16 or 20"
    assert relation_problems(found, {"batch": 18, "group": 0}) == []


def test_the_peers_conditions() -> None:
    found = leaves(
        width={"type": "int", "math_cond": "/ 32"},
        low={"type": "float", "depends_on": "<= high"},
        high={"type": "float"},
    )
    flat = {"width": 48, "low": 2.0, "high": 1.0}
    assert [problem.key for problem in relation_problems(found, flat)] == ["width", "low"]
    assert relation_problems(found, {"width": 64, "low": 1.0, "high": 1.0}) == []


def test_a_section_that_is_off_has_no_effect_as_a_whole() -> None:
    section = {
        "properties": {"rate": {"type": "number"}, "decay": {"type": "number"}},
        "x_effect_if": [{"key": "on", "in": [True], "reason": "on is {value}"}],
    }
    found = leaves(section=section, on={"type": "boolean"})
    flat = {"section.rate": 1, "section.decay": 1}
    assert without_effect(found, flat | {"on": False}) == {
        "section.rate": "on is False",
        "section.decay": "on is False",
    }
    assert without_effect(found, flat | {"on": True}) == {}


def test_a_list_that_begins_too_late_has_no_effect() -> None:
    found = leaves(gamma={"type": "number", "x_effect_if": [{"key": "steps", "first_below": "epochs"}]})
    assert list(without_effect(found, {"gamma": 0.1, "steps": [40, 70], "epochs": 40})) == ["gamma"]
    assert without_effect(found, {"gamma": 0.1, "steps": [40, 70], "epochs": 41}) == {}
    assert list(without_effect(found, {"gamma": 0.1, "steps": [], "epochs": 41})) == ["gamma"]
