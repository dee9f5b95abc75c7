"""Values that did well elsewhere are tried right after the baseline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from automl_searcher_loop import BASELINE, SPACE, Loop  # loaded by conftest.py

from tao_skill.automl.own_range import UnusableError
from tao_skill.automl.starting_points import starting_points
from tao_skill.errors import Problem

PARAMETERS = {one.key: one for one in SPACE.parameters}
POINTS = ({"rate": 0.01}, {"rate": 0.1, "batch": 8}, {"layers": 4})


def with_points(algorithm: str, folder: Path, acceptable: Any = None) -> Loop:
    space = replace(SPACE, points=POINTS)
    return Loop(algorithm, folder, space=space, **({"acceptable": acceptable} if acceptable else {}))


def test_of_the_schemas_points_what_can_be_searched_here_is_left() -> None:
    listed = [{"rate": 0.01, "other": 1}, {"rate": 7.0, "batch": 8}, {"batch": 9}, "rate", {}]
    assert starting_points({"automl_starting_points": listed}, PARAMETERS, None) == ({"rate": 0.01}, {"batch": 8})


@pytest.mark.parametrize("listed", [None, "rate", {"rate": 0.1}, 3])
def test_a_foreign_schema_may_say_anything(listed: Any) -> None:
    assert starting_points({"automl_starting_points": listed}, PARAMETERS, None) == ()


def test_own_points_take_the_place_of_the_schemas() -> None:
    schema = {"automl_starting_points": [{"rate": 0.01}]}
    assert starting_points(schema, PARAMETERS, [{"batch": 8}]) == ({"batch": 8},)
    assert starting_points(schema, PARAMETERS, []) == ()


def test_everything_that_is_wrong_with_own_points_is_told() -> None:
    with pytest.raises(UnusableError) as caught:
        starting_points({}, PARAMETERS, [{"rate": 2.0, "rat": 0.1}, {}, {"batch": 9, "layers": 2.5}])
    told = {problem.key: problem.expected for problem in caught.value.problems}
    assert told == {
        "automl_starting_points[0]: rate": "a number from 1e-05 to 1",
        "automl_starting_points[0]: rat": "a parameter that is searched: rate, batch, layers",
        "automl_starting_points[1]": "at least one value, by the key of its parameter",
        "automl_starting_points[2]: batch": "one of 8, 16, 32",
        "automl_starting_points[2]: layers": "a whole number from 1 to 4",
    }


def test_the_default_search_tries_them_right_after_the_baseline(tmp_path: Path) -> None:
    trials = with_points("bayesian", tmp_path).run(5)
    assert [trial.values for trial in trials[:4]] == [BASELINE, *(BASELINE | point for point in POINTS)]
    assert [trial.origin for trial in trials] == ["baseline", *["starting point"] * 3, "search"]


def test_a_search_that_was_killed_goes_on_with_the_next_one(tmp_path: Path) -> None:
    loop = with_points("bayesian", tmp_path)
    loop.run(2)
    loop.reload()
    assert [trial.values for trial in loop.run(4)[2:]] == [BASELINE | POINTS[1], BASELINE | POINTS[2]]


def test_what_breaks_a_rule_is_passed_over(tmp_path: Path) -> None:
    def large_batches(values: dict[str, Any]) -> list[Problem]:
        return [] if values["batch"] > 8 else [Problem("batch", values["batch"], "more than 8")]

    trials = with_points("bayesian", tmp_path, large_batches).run(4)
    assert [trial.origin for trial in trials[1:]] == ["starting point", "starting point", "search"]
    assert trials[2].values == BASELINE | POINTS[2]


def test_random_search_draws_all_its_values(tmp_path: Path) -> None:
    assert {trial.origin for trial in with_points("random", tmp_path).run(4)[1:]} == {"search"}


def test_points_take_the_types_of_their_parameters() -> None:
    (point,) = starting_points({}, PARAMETERS, [{"rate": 1, "batch": 8.0, "layers": 4.0}])
    assert [(key, value, type(value)) for key, value in point.items()] == [
        ("rate", 1.0, float), ("batch", 8, int), ("layers", 4, int)
    ]  # fmt: skip


def test_what_the_range_does_not_hold_of_the_baseline_is_drawn(tmp_path: Path) -> None:
    narrow = tuple(replace(one, low=2, high=2) if one.key == "layers" else one for one in SPACE.parameters)
    narrow = tuple(replace(one, low=1e-5, high=0.1) if one.key == "rate" else one for one in narrow)
    loop = Loop("bayesian", tmp_path, space=replace(SPACE, parameters=narrow, points=({"batch": 8}, {"batch": 32})))
    trials = loop.run(4)
    assert [trial.values["batch"] for trial in trials[1:3]] == [8, 32]
    rates = [trial.values["rate"] for trial in trials[1:3]]
    assert all(rate <= 0.1 for rate in rates)
    assert [trial.origin for trial in trials[1:]] == ["starting point", "starting point", "search"]
