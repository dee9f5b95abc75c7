"""Relations between parameters, as any schema may state them."""

from typing import Any

from tao_skill.config.leaves import schema_leaves
from tao_skill.config.relations import powers, relation_problems, search_begins, without_effect


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


def test_a_condition_on_what_is_searched_may_come_true() -> None:
    on, steps = {"key": "on", "in": [True]}, {"key": "steps", "first_below": "epochs"}
    found = leaves(
        gamma={"type": "number", "x_effect_if": [steps]},
        drag={"type": "number", "x_effect_if": [on, {"key": "kind", "in": ["a", "b"]}]},
    )
    flat = {"on": False, "kind": "c", "steps": [40], "epochs": 10}
    assert list(without_effect(found, flat)) == ["gamma", "drag"]
    assert list(without_effect(found, flat, {"kind": ("a", "c"), "epochs": ()})) == ["drag"]
    assert without_effect(found, flat | {"on": True}, {"kind": ("a", "c"), "steps": ()}) == {}
    # None of the values that it may take is one of those that count.
    assert "drag" in without_effect(found, flat | {"on": True}, {"kind": ("c", "d")})


def test_powers() -> None:
    found = leaves(width={"type": "int", "math_cond": "^ 2"})
    assert relation_problems(found, {"width": 64}) == []
    for wrong in (48, 0, 0.5, float("inf")):
        assert [one.expected for one in relation_problems(found, {"width": wrong})] == ["a power of 2"]
    assert powers(2, 3, 40) == [4, 8, 16, 32]


def test_a_comparison_may_stand_beside_the_name_of_the_other() -> None:
    found = leaves(low={"type": "float", "depends_on": "high", "math_cond": "<= depends_on"}, high={"type": "float"})
    assert [one.expected for one in relation_problems(found, {"low": 2.0, "high": 1.0})] == ["<= high, which is 1.0"]
    assert relation_problems(found, {"low": 1.0, "high": 1.0}) == []


def test_where_a_search_begins_binds_no_value() -> None:
    found = leaves(decay={"type": "float", "math_cond": "> 0.0"})
    assert relation_problems(found, {"decay": 0.0}) == []
    assert search_begins(found[0]) == (">", 0.0)


def test_other_schemas_write_flags_as_texts_and_bounds_without_an_end() -> None:
    (leaf,) = leaves(rate={"type": "float", "automl_enabled": "FALSE", "minimum": 0.0, "maximum": float("inf")})
    assert leaf.facts["automl_enabled"] is False
    assert (leaf.minimum, leaf.maximum, leaf.bounds) == (0.0, None, "≥ 0")
