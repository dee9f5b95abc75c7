"""Which checkpoints stay while a search runs, and which when it is over."""

from __future__ import annotations

from automl_machine import new_history  # loaded by conftest.py

from tao_skill.automl.history import SearchHistory, Trial, TrialState
from tao_skill.automl.retention import losers, out_of_race
from tao_skill.config.automl import AutoML


def history_of(*trials: tuple[TrialState, float]) -> SearchHistory:
    history = new_history(*(value for _, value in trials))
    for trial, (state, _) in zip(history.trials, trials, strict=True):
        trial.state = state
    return history


def numbers(trials: list[Trial]) -> list[int]:
    return [trial.number for trial in trials]


def test_what_runs_takes_no_ended_trials_place() -> None:
    """The best runs, and may fail: then the best of those that ended is all there is."""
    history = history_of(("complete", 0.9), ("running", 0.91), ("stopped", 0.5))
    assert numbers(out_of_race(history, AutoML(), set())) == [2]
    history.trials[1].state = "failed"
    best = history.best()
    assert best is not None
    assert best.number == 0


def test_as_many_stay_as_were_asked_for() -> None:
    history = history_of(("complete", 0.9), ("running", 0.91), ("stopped", 0.5), ("complete", 0.4))
    assert numbers(out_of_race(history, AutoML(automl_keep_trials=2), set())) == [3]
    assert numbers(out_of_race(history, AutoML(automl_keep_trials=1), {2})) == [3]
    assert out_of_race(history, AutoML(automl_delete_intermediate_ckpt=False), set()) == []


def test_the_finalists_and_the_baseline_stay_until_the_end() -> None:
    history = history_of(("stopped", 0.1), ("stopped", 0.3), ("stopped", 0.5), ("stopped", 0.4), ("stopped", 0.2))
    history.first_pause = 1
    assert numbers(out_of_race(history, AutoML(), set())) == [4]
    assert numbers(losers(history, AutoML())) == [0, 1, 3, 4]
    assert numbers(losers(history, AutoML(automl_keep_trials=3))) == [0, 4]
    assert losers(history, AutoML(automl_delete_intermediate_ckpt=False)) == []
