"""The first values of the default search: from the baseline, from the best so far, and anywhere."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.automl.parameter import Parameter
from tao_skill.automl.starting import others, starting_values

RATE = Parameter("rate", "number", low=1e-5, high=1e-1, log=True)
BASELINE = {"rate": 1e-4}
SPACE = [
    Parameter(f"{part}.{name}", "number", low=1e-8, high=1e-3, log=True)
    for part in ("trunk", "embedder")
    for name in ("rate", "decay", "margin")
]


def new_history(*trials: tuple[dict[str, Any], float]) -> SearchHistory:
    history = SearchHistory(
        job_id="job", skill="tiny", skill_dir="/s", algorithm="bayesian", metric="score", direction="maximize",
        full_epochs=10, settings={}, space=[], started_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    for number, (values, value) in enumerate(trials):
        trial = Trial(number=number, origin="search", values=values, epochs=10, state="complete")
        history.add_report(trial, 1, value)
        history.trials.append(trial)
    return history


def exponents(history: SearchHistory, number: int) -> list[float]:
    """Return 400 draws of the rate for one trial, as powers of ten."""
    chance = random.Random(0)
    drawn = [starting_values([RATE], BASELINE, history, number, chance)["rate"] for _ in range(400)]
    return [math.log10(rate) for rate in drawn]


def mean_and_spread(values: list[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))


# Anywhere in four powers of ten.
ANYWHERE = (pytest.approx(-3.0, abs=0.15), pytest.approx(4 / math.sqrt(12), abs=0.1))


def test_what_moves_is_drawn_from_its_whole_range_and_from_the_best_half_of_it_stays_near() -> None:
    history = new_history((BASELINE, 0.1), ({"rate": 1e-2}, 0.5))
    for number in (1, 2, 4):
        assert mean_and_spread(exponents(history, number)) == ANYWHERE
    drawn = exponents(history, 3)
    # A standard deviation is 0.15 of four powers of ten; of what is anywhere in them, 30 % lie as near by chance.
    near = sum(abs(one + 2) < 0.6 for one in drawn) / len(drawn)
    assert near == pytest.approx(0.5 * 0.68 + 0.5 * 0.3, abs=0.07)
    assert min(drawn) < -4.5


def test_drawn_anywhere_too_parameters_of_one_name_move_together() -> None:
    for seed in range(20):
        values = starting_values(SPACE, {}, new_history(), 4, random.Random(seed))
        assert all(values[f"trunk.{name}"] == values[f"embedder.{name}"] for name in ("rate", "decay", "margin"))
        assert len(set(values.values())) == 3


def test_without_a_trial_that_worked_the_baseline_is_what_is_known() -> None:
    for history in (new_history(), new_history((BASELINE, 0.1))):
        assert mean_and_spread(exponents(history, 3)) == ANYWHERE


@pytest.mark.parametrize("start", [1e-5, 1e-1])
def test_all_draws_lie_in_the_range_even_from_its_edges(start: float) -> None:
    chance = random.Random(0)
    drawn = [RATE.draw_near(start, 0.25, chance) for _ in range(400)]
    assert min(drawn) >= 1e-5
    assert max(drawn) <= 1e-1
    assert len(set(drawn)) == 400


def test_whole_numbers_stay_whole_and_choices_are_often_kept() -> None:
    chance = random.Random(0)
    layers = Parameter("layers", "integer", low=1, high=100)
    drawn = [layers.draw_near(50, 0.1, chance) for _ in range(400)]
    assert all(isinstance(one, int) for one in drawn)
    assert mean_and_spread([float(one) for one in drawn]) == (pytest.approx(50, abs=2), pytest.approx(9.9, abs=1))
    loss = Parameter("loss", "choice", choices=("triplet", "supcon", "circle", "ntxent"))
    losses = [loss.draw_near("supcon", 0.25, chance) for _ in range(400)]
    assert losses.count("supcon") == pytest.approx(400 * (1 / 2 + 1 / 8), abs=40)
    assert set(losses) == {"triplet", "supcon", "circle", "ntxent"}


def test_where_the_range_does_not_hold_the_value_all_of_it_is_as_near() -> None:
    chance = random.Random(0)
    drawn = [math.log10(RATE.draw_near(5.0, 0.01, chance)) for _ in range(400)]
    assert mean_and_spread(drawn) == (pytest.approx(-3.0, abs=0.15), pytest.approx(4 / math.sqrt(12), abs=0.1))


def test_parameters_of_one_name_move_together_and_half_of_them_stay() -> None:
    start = {one.key: 1e-5 for one in SPACE}
    stayed = 0
    for seed in range(200):
        values = others(SPACE, start, random.Random(seed))
        assert values != start
        for name in ("rate", "decay", "margin"):
            assert values[f"trunk.{name}"] == values[f"embedder.{name}"]
            stayed += values[f"trunk.{name}"] == 1e-5
    assert stayed == pytest.approx(300, abs=60)


def test_from_different_starts_they_move_by_the_same_share() -> None:
    chance = random.Random(3)
    pair = [SPACE[0], Parameter("head.rate", "number", low=1e-8, high=1e-3, log=True)]
    moved = others(pair, {"trunk.rate": 1e-6, "head.rate": 1e-5}, chance, stays_near=1.0)
    assert moved["head.rate"] / moved["trunk.rate"] == pytest.approx(10)
    assert moved["head.rate"] != 1e-5


def test_what_the_range_does_not_hold_is_drawn_though_it_would_stay() -> None:
    drawn = [others(SPACE, dict.fromkeys((one.key for one in SPACE), 0.5), random.Random(seed)) for seed in range(50)]
    assert all(one.low <= values[one.key] <= one.high for values in drawn for one in SPACE)


def test_a_choice_that_moves_becomes_another_one() -> None:
    loss = Parameter("loss", "choice", choices=("triplet", "supcon"))
    assert all(others([loss], {"loss": "triplet"}, random.Random(seed)) == {"loss": "supcon"} for seed in range(50))
