"""Comparing trials after few epochs, where the wall clock holds too few full trainings."""

from __future__ import annotations

import pytest
from automl_machine import Machine, Training, new_history, searched  # loaded by conftest.py

from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.automl.retention import disk_bound
from tao_skill.automl.screening import (
    FINALISTS,
    can_be_judged,
    final_epoch,
    finalists,
    first_pause,
    is_flat,
    unfinished,
)
from tao_skill.config.automl import AutoML


@pytest.mark.parametrize(
    ("epochs", "affordable", "trials", "expected"),
    [
        (10, 80, 20, 0),  # eight full trainings are a search
        (10, 79, 20, 4),
        (100, 160, 20, 10),
        (100_000, 160, 20, 10),  # what the clock allows counts, not what was asked for
        (100, 160, 4, 20),  # fewer trials, longer ones
        (100, 160, 1, 0),  # the baseline alone
        (100, 11, 20, 0),  # less than three trials of two epochs: rather one training
        (2, 3, 20, 0),
    ],
)
def test_how_long_trials_train_before_they_are_compared(
    epochs: int, affordable: int, trials: int, expected: int
) -> None:
    settings = AutoML(automl_max_minutes=affordable / 60, automl_max_recommendations=trials)
    assert first_pause(settings, epochs, 1.0) == expected


def test_trials_that_run_at_once_train_for_longer_before_they_are_compared() -> None:
    settings = AutoML(automl_max_minutes=160 / 60)
    assert [first_pause(settings, 1000, 1.0, slots) for slots in (1, 2, 4)] == [10, 20, 40]
    assert first_pause(settings, 25, 1.0, 1) == 10
    assert first_pause(settings, 25, 1.0, 2) == 0  # more than eight full trainings


def test_only_a_wall_clock_shortens_trials_and_never_for_algorithms_with_rungs() -> None:
    limited = AutoML(automl_max_minutes=1)
    history = new_history(0.5)
    assert can_be_judged(limited, history, history.trials[0])
    assert not can_be_judged(AutoML(), history, history.trials[0])
    assert not can_be_judged(AutoML(automl_max_minutes=1, automl_early_stopping=False), history, history.trials[0])
    others = new_history(0.5, 0.5, 0.5)
    for trial in others.trials:
        trial.state = "running"
    assert not can_be_judged(limited, others, others.trials[1])
    others.trials[0].state = "failed"
    assert can_be_judged(limited, others, others.trials[1])  # the first that works
    assert not can_be_judged(limited, others, others.trials[2])
    history.first_pause = 0
    assert not can_be_judged(limited, history, history.trials[0])  # once is enough
    for algorithm in ("asha", "pbt", "hyperband"):
        other = new_history(0.5, algorithm=algorithm)
        assert not can_be_judged(limited, other, other.trials[0])


def test_time_that_failed_trials_took_is_not_there_for_comparing() -> None:
    settings = AutoML(automl_max_minutes=20)
    assert first_pause(settings, 1000, 1.0) == 75
    assert first_pause(settings, 1000, 1.0, spent=600.0) == 38


def test_what_trains_the_best_of_a_population_to_the_end_is_done_once() -> None:
    history = new_history(0.9, 0.5, algorithm="pbt")
    best, other = history.trials
    best.state, best.epochs, other.state = "complete", 25, "complete"
    assert unfinished(history) is best
    heir = Trial(number=2, origin="member 0: goes on", continues=0, values={}, epochs=50, state="complete")
    last = Trial(number=3, origin="member 0: goes on", continues=2, values={}, epochs=100, state="stopped")
    history.trials += [heir, last]
    assert unfinished(history) is last  # it was interrupted
    last.state = "complete"
    assert unfinished(history) is None
    last.values = {"rate": 1.0}
    assert unfinished(history) is best  # a copy with other values is none of it
    best.epochs = 100
    assert unfinished(history) is None


@pytest.mark.parametrize(("direction", "best"), [("maximize", [3, 1, 2]), ("minimize", [0, 4, 2])])
def test_the_best_go_on_and_their_checkpoints_stay(direction: str, best: list[int]) -> None:
    history = new_history(0.1, 0.4, 0.3, 0.5, 0.2, direction=direction)
    assert finalists(history) == []
    history.first_pause = 40
    assert [one.number for one in finalists(history)] == best
    assert final_epoch(history) == 80
    history.largest_trial_bytes = 10**9
    assert disk_bound(history, AutoML(), 1) == "at most the checkpoints of 8 trials, 8.00 GB"


def test_no_bound_is_stated_where_nothing_could_be_counted() -> None:
    history = new_history(0.1, 0.4)
    assert disk_bound(history, AutoML(), 1).startswith("not known: no trial left a file")
    history.trials.clear()
    assert disk_bound(history, AutoML(), 1) == "at most the checkpoints of 3 trials"


def test_trials_that_hold_the_start_are_ranked_by_what_they_learned() -> None:
    history = new_history(0.2, 0.4, 0.3)
    for trial in history.trials:
        history.settle(trial, 0.9)
    assert [one.number for one in history.ranked()] == [1, 2, 0]
    assert {one.best_epoch for one in history.trials} == {0}


def test_the_winner_gets_what_is_left_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    heights = [0.5, 0.6, 0.9, 0.55, 0.4, 0.45, 0.5, 0.3]
    history, machine = searched(monkeypatch, heights, [0.05] * 8, 160)
    assert history.first_pause == 9
    assert history.winner == 2
    paused = [trial.last_epoch for trial in history.trials if trial.number not in (1, 2, 3)]
    assert paused == [9] * 5
    assert [history.trials[number].last_epoch for number in (1, 3)] == [18, 18]
    assert history.trials[2].last_epoch > 60
    # Everyone went on from where it was.
    assert machine.starts[8:] == [(2, 9), (1, 9), (3, 9), (2, 18)]
    assert set(machine.epochs) == {2}  # whose checkpoints are left


def test_a_slow_starter_among_the_best_may_still_win(monkeypatch: pytest.MonkeyPatch) -> None:
    heights = [0.5, 0.52, 0.95, 0.1, 0.1, 0.1, 0.1, 0.1]
    speeds = [0.5, 0.5, 0.06, *[0.5] * 5]
    history, _ = searched(monkeypatch, heights, speeds, 160)
    assert history.trials[2].reports[8].value < history.trials[1].reports[8].value  # type: ignore[operator]
    assert history.winner == 2


def test_where_the_best_no_longer_improves_the_baseline_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    heights = [0.9, 0.6, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4]
    # All but the baseline have learned all they can after a few epochs.
    speeds = [0.02, *[50.0] * 7]
    history, machine = searched(monkeypatch, heights, speeds, 200)
    assert machine.starts[-1][0] == 0
    assert history.trials[0].last_epoch > 50
    assert history.winner == 0


def test_where_none_improves_other_values_go_on_from_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    history, machine = searched(monkeypatch, _rising_from(8), [50.0] * 40, 260, trials=40, learns=True)
    screened = [one for one in history.trials if one.continues is None]
    others = history.trials[len(screened) :]
    assert len(others) >= 3
    begins = dict(machine.starts[-len(others) :])
    best = screened[-1]
    for one in others:
        # Each goes on from where the best one had come to, and shows within as many epochs whether it is better.
        assert one.continues == best.number
        assert begins[one.number] == best.last_epoch
        best = one
    assert all(one.last_epoch - begins[one.number] >= (history.first_pause or 0) for one in others[:-1])
    assert history.winner == others[-1].number


def test_other_values_that_always_fail_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Training, "continued_fails", True)
    history, machine = searched(monkeypatch, [0.5, 0.6, *[0.4] * 38], [50.0] * 40, 260, trials=40, learns=True)
    assert [one.state for one in history.trials if one.continues is not None] == ["failed"] * 3
    # The baseline goes on to its end, then the winner.
    assert [number for number, _ in machine.starts[-2:]] == [0, 1]
    assert history.winner == 1


def test_two_at_once_share_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    heights = [0.5, 0.6, 0.9, 0.55, 0.4, 0.45, 0.5, 0.3]
    history, _ = searched(monkeypatch, heights, [0.02] * 8, 80, slots=2)
    assert history.winner == 2
    went_on = sorted(trial.last_epoch for trial in history.trials if trial.last_epoch > final_epoch(history))
    assert len(went_on) == 2
    assert history.trials[2].last_epoch == went_on[-1]


def test_while_the_best_improves_others_begin_from_its_newest_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    heights, speeds = [0.5, 0.9, *[0.4] * 38], [50.0, 0.06, *[50.0] * 38]
    history, machine = searched(monkeypatch, heights, speeds, 150, trials=40, learns=True, slots=2)
    branches = [one for one in history.trials if one.continues is not None]
    assert {one.continues for one in branches} == {1}
    begins = [epoch for number, epoch in machine.starts if number >= branches[0].number]
    assert begins == sorted(set(begins))
    assert len(begins) == len(branches) >= 2
    assert [one.begun for one in branches] == begins
    assert history.winner == 1


def test_where_nothing_of_a_running_trial_can_be_copied_idle_ones_are_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Machine, "copies", False)
    heights, speeds = [0.5, 0.9, *[0.4] * 38], [50.0, 0.06, *[50.0] * 38]
    history, _ = searched(monkeypatch, heights, speeds, 150, trials=40, learns=True, slots=2)
    assert 1 not in {one.continues for one in history.trials}
    assert history.winner == 1


@pytest.mark.parametrize("slots", [2, 4])
def test_lesser_trials_are_no_start_for_others(monkeypatch: pytest.MonkeyPatch, slots: int) -> None:
    history, _ = searched(monkeypatch, _rising_from(8), [50.0] * 40, 100, trials=40, learns=True, slots=slots)
    others = [one for one in history.trials if one.continues is not None]
    assert others
    best_screened = sorted(
        (one.best_value for one in history.trials if one.continues is None and one.best_value), reverse=True
    )
    for one in others:
        assert one.continues is not None
        source = history.trials[one.continues]
        assert source.continues is not None or source.best_value in best_screened[:FINALISTS]


def reported(values: list[float], begun: int = 0) -> tuple[SearchHistory, Trial]:
    history = new_history(0.1)
    history.first_pause = 10
    trial = Trial(number=1, origin="search", begun=begun, continues=0 if begun else None, values={}, epochs=100)
    for epoch, value in enumerate(values, begun + 1):
        history.add_report(trial, epoch, value)
    return history, trial


def test_a_lucky_epoch_does_not_make_what_improves_flat() -> None:
    rising = [0.01 * epoch for epoch in range(30)]
    rising[9] = 0.9
    assert not is_flat(*reported(rising))
    assert is_flat(*reported([*rising, *[0.25] * 40]))
    level = [0.2] * 30
    assert is_flat(*reported(level))
    assert not is_flat(*reported([*level[:15], 0.3, *level[:9]]))  # its best is new


def test_what_begins_from_anothers_checkpoint_is_given_as_many_epochs() -> None:
    values = [0.3, *[0.2] * 9]
    assert not is_flat(*reported(values, begun=40))
    assert is_flat(*reported([*values, 0.2], begun=40))


def test_a_flat_finalist_goes_on_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _, machine = searched(monkeypatch, [0.5, 0.6, 0.55, *[0.4] * 5], [50.0] * 8, 160)
    starts = [number for number, _ in machine.starts]
    assert [starts.count(number) for number in (1, 2)] == [2, 2]


def test_with_several_slots_a_search_without_hope_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Training, "all_fail", True)
    history, machine = searched(monkeypatch, [0.5] * 40, [50.0] * 40, 160, trials=40, slots=4)
    assert "the first" in history.end_reason
    assert len(machine.starts) <= 5 + 4


def test_other_values_that_fail_are_given_up_with_several_slots_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Training, "continued_fails", True)
    history, _ = searched(monkeypatch, [0.5, 0.6, *[0.4] * 38], [50.0] * 40, 160, trials=40, learns=True, slots=3)
    assert 3 <= sum(one.state == "failed" for one in history.trials) <= 3 + 2


def test_what_was_interrupted_keeps_its_checkpoint_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    # Trial 5 is far behind the others when the search is interrupted, and ahead of them in the end.
    heights, speeds = [0.5, 0.6, 0.5, 0.5, 0.5, 4.0, 0.4, 0.4], [*[0.5] * 5, 0.02, 0.5, 0.5]
    history, machine = searched(monkeypatch, heights, speeds, 160, stops=(48,))
    assert machine.starts[5][0] == machine.starts[6][0] == 5
    assert 0 < machine.starts[6][1] < (history.first_pause or 0)
    assert history.winner == 5


@pytest.mark.parametrize("slots", [1, 2])
def test_an_interrupted_search_goes_on_with_the_best_alone(monkeypatch: pytest.MonkeyPatch, slots: int) -> None:
    # Interrupted during the comparison and after it, and resumed where there is one slot.
    heights, seconds = _rising_from(8), 150 * slots + 50
    stops = (0.2 * seconds, 0.7 * seconds, 0.95 * seconds)
    history, machine = searched(
        monkeypatch, heights, [50.0] * 40, seconds, trials=40, learns=True, slots=slots, stops=stops
    )
    assert history.compared
    first_other = next(one.number for one in history.trials if one.continues is not None)
    # Nothing was begun anew since, and everything that began went on from a checkpoint.
    assert all(one.continues is not None for one in history.trials[first_other:])
    assert all(epoch > 0 for number, epoch in machine.starts if number >= first_other)
    assert not any(one.goes_on and one.state == "running" for one in history.trials)


def _rising_from(number: int) -> list[float]:
    """Return heights of which each is above the one before, from a trial on."""
    return [0.5] * number + [0.5 + 0.01 * step for step in range(1, 41 - number)]


def test_where_trials_begin_anew_none_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "can_go_on", False)
    history, machine = searched(monkeypatch, [0.5, 0.6, 0.9], [0.05] * 3, 260)
    assert machine.starts == [(0, 0), (1, 0), (2, 0)]
    assert (history.winner, history.trials[2].state) == (2, "stopped")
    assert set(machine.epochs) == {2}


def test_a_validation_every_few_epochs_is_enough_to_judge_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Training, "interval", 3)
    history, _ = searched(monkeypatch, [0.5, 0.6, 0.9, *[0.4] * 5], [0.05] * 8, 160)
    assert history.first_pause == 9  # as with one each epoch
    assert history.winner == 2


def test_a_trial_that_fails_when_it_goes_on_keeps_what_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Training, "going_on_fails", True)
    heights = [0.5, 0.6, 0.9, 0.55, 0.4, 0.45, 0.5, 0.3]
    history, machine = searched(monkeypatch, heights, [0.05] * 8, 160)
    assert history.winner == 2
    assert (history.trials[2].state, history.trials[2].failure is None) == ("stopped", False)
    assert set(machine.epochs) == {2}
    assert max(machine.starts.count((number, 9)) for number in range(8)) == 1  # what failed is not tried again


def test_too_little_time_for_a_search_is_one_training(monkeypatch: pytest.MonkeyPatch) -> None:
    history, machine = searched(monkeypatch, [0.5], [0.05], 10)
    assert history.first_pause == 0
    assert machine.starts == [(0, 0)]
    assert history.trials[0].last_epoch >= 9
