"""One conformance class for all algorithms: what a search may rely on, whoever proposes the values."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from automl_searcher_loop import BASELINE, EPOCHS, SPACE, Loop, none_wrong  # loaded by conftest.py
from optuna.trial import TrialState

from tao_skill.automl.algorithms import ALGORITHMS, MULTI_FIDELITY, algorithm_name
from tao_skill.automl.few import untried
from tao_skill.automl.history import INTERRUPTED, Trial
from tao_skill.automl.journal import JOURNAL, STUDY_NAME, open_journal
from tao_skill.automl.parameter import Parameter
from tao_skill.automl.searcher import Recommendation
from tao_skill.automl.space import SearchSpace
from tao_skill.errors import NotAvailableError, Problem, UsageError

# A Gaussian process takes its time for each proposal; its first nine are drawn.
FEW = {"bayesian": 7, "hybrid": 7}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.usefixtures("chat_server")
class TestEverySearcher:
    def test_the_baseline_is_the_first_trial_and_trained_to_the_end(self, algorithm: str, tmp_path: Path) -> None:
        loop = Loop(algorithm, tmp_path)
        first = loop.run(1)[0]
        assert (first.number, first.origin, first.values) == (0, "baseline", BASELINE)
        assert first.state == "complete"

    def test_all_values_lie_in_the_space(self, algorithm: str, tmp_path: Path) -> None:
        for trial in Loop(algorithm, tmp_path).run(FEW.get(algorithm, 8)):
            assert 1e-5 <= trial.values["rate"] <= 1.0
            assert trial.values["batch"] in (8, 16, 32)
            assert isinstance(trial.values["layers"], int)
            assert 1 <= trial.values["layers"] <= 4
            json.dumps(trial.values)

    def test_it_beats_a_poor_baseline(self, algorithm: str, tmp_path: Path) -> None:
        trials = Loop(algorithm, tmp_path).run(FEW.get(algorithm, 14))
        values = [trial.best_value for trial in trials if trial.best_value is not None]
        assert max(values) > values[0]

    def test_smaller_may_be_better(self, algorithm: str, tmp_path: Path) -> None:
        loop = Loop(algorithm, tmp_path, "minimize")
        trials = loop.run(FEW.get(algorithm, 14))
        best = loop.history.best()
        assert best is not None
        assert best.best_value is not None
        assert best.best_value == min(trial.best_value for trial in trials if trial.best_value is not None)
        assert best.number > 0

    def test_what_breaks_a_rule_is_never_recommended(self, algorithm: str, tmp_path: Path) -> None:
        def acceptable(values: Any) -> list[Problem]:
            return [] if values["batch"] == 16 else [Problem("batch", 8, "another")]

        loop = Loop(algorithm, tmp_path, acceptable=acceptable)
        assert all(trial.values["batch"] == 16 for trial in loop.run(FEW.get(algorithm, 9)))
        assert loop.history.rejected > 0

    def test_a_rule_that_nothing_obeys_ends_the_search(self, algorithm: str, tmp_path: Path) -> None:
        loop = Loop(algorithm, tmp_path, acceptable=lambda _: [Problem("batch", 8, "nothing")])
        assert len(loop.run(3)) == 1

    def test_several_trials_may_run_at_once(self, algorithm: str, tmp_path: Path) -> None:
        loop = Loop(algorithm, tmp_path)
        asked = [loop.ask(), loop.ask(), loop.ask()]
        assert [one.number for one in asked if one] == [0, 1, 2]
        for number in (2, 0, 1):
            loop.train(number)
        assert len(loop.run(6)) == 6

    def test_it_goes_on_from_the_history_as_if_never_killed(self, algorithm: str, tmp_path: Path) -> None:
        whole = [trial.values for trial in Loop(algorithm, tmp_path / "a").run(7)] if make(tmp_path / "a") else []
        loop = Loop(algorithm, make(tmp_path / "b"))
        loop.run(3)
        loop.ask()  # killed while this one ran
        loop.reload()
        loop.train(3)
        loop.run(5)
        loop.reload()
        assert [trial.values for trial in loop.run(7)] == whole

    def test_failed_trials_teach_nothing_and_end_nothing(self, algorithm: str, tmp_path: Path) -> None:
        loop = Loop(algorithm, tmp_path)
        loop.run(2)
        found = loop.ask()
        assert found is not None
        loop.history.trials[found.number].state = "failed"
        loop.searcher.tell(found.number, "failed", None)
        assert len(loop.run(6)) == 6


def make(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def test_searches_with_neighbouring_seeds_have_no_values_in_common(tmp_path: Path) -> None:
    drawn = [Loop("random", tmp_path / str(seed), seed=seed).run(8)[1:] for seed in (1, 2, 3)]
    rates = [trial.values["rate"] for trials in drawn for trial in trials]
    assert len(set(rates)) == len(rates) == 21


MODES = SearchSpace((Parameter("mode", "choice", choices=("a", "b", "c"), weights=(0.6, 0.399, 0.001), default="a"),))
# A population trains on with the same values.
DRAWING = [algorithm for algorithm in ALGORITHMS if algorithm != "pbt"]


@pytest.mark.parametrize("algorithm", DRAWING)
@pytest.mark.usefixtures("chat_server")
class TestFewConfigurations:
    def test_each_is_tried_once_and_then_the_search_ends(self, algorithm: str, tmp_path: Path) -> None:
        loop = Loop(algorithm, tmp_path, space=MODES)
        assert sorted(trial.values["mode"] for trial in loop.run(9)) == ["a", "b", "c"]
        assert loop.searcher.why_over() == "all 3 configurations that the rules allow were tried"

    def test_those_that_the_rules_forbid_are_not_waited_for(self, algorithm: str, tmp_path: Path) -> None:
        def acceptable(values: Any) -> list[Problem]:
            return [Problem("mode", "b", "another")] if values["mode"] == "b" else []

        loop = Loop(algorithm, tmp_path, acceptable=acceptable, space=MODES)
        assert [trial.values["mode"] for trial in loop.run(9)] == ["a", "c"]
        assert loop.searcher.why_over() == "all 2 configurations that the rules allow were tried"


def gone_on(loop: Loop, best: Trial) -> Recommendation:
    """Let a trial go on from another one's checkpoint, and return its values."""
    found = loop.searcher.go_on_from(best)
    assert found is not None
    loop.history.trials.append(
        Trial(number=found.number, continues=best.number, origin="", values=found.values, epochs=9, state="running")
    )
    return found


def test_a_checkpoint_is_gone_on_from_once_with_each_configuration(tmp_path: Path) -> None:
    loop = Loop("bayesian", tmp_path, space=MODES)
    best = loop.run(1)[0]
    for _ in range(2):
        gone_on(loop, best)
    assert {trial.values["mode"] for trial in loop.history.trials} == {"a", "b", "c"}
    assert loop.searcher.go_on_from(best) is None


# What a training can't change when it goes on from a checkpoint.
KEPT = replace(SPACE, parameters=tuple(replace(one, kept_on_resume=one.key != "rate") for one in SPACE.parameters))


def test_other_values_for_a_checkpoint_are_those_that_it_can_go_on_with(tmp_path: Path) -> None:
    loop = Loop("bayesian", tmp_path, space=KEPT)
    best = loop.run(3)[2]
    for _ in range(20):
        found = gone_on(loop, best)
        assert {key: found.values[key] for key in ("batch", "layers")} == {
            key: best.values[key] for key in ("batch", "layers")
        }
        assert found.values["rate"] != best.values["rate"]


def test_members_that_copy_keep_what_a_checkpoint_cannot_change(tmp_path: Path) -> None:
    trials = Loop("pbt", tmp_path, space=KEPT).run(30)
    copies = [trial for trial in trials if "copies" in trial.origin]
    assert copies
    for trial in copies:
        source = trials[trial.continues or 0]
        assert (trial.values["batch"], trial.values["layers"]) == (source.values["batch"], source.values["layers"])
    assert len({(trial.values["batch"], trial.values["layers"]) for trial in trials}) > 1


def test_whole_numbers_are_counted_by_their_step() -> None:
    size = Parameter("size", "integer", low=32, high=96, step=32)
    assert list(untried([size], [{"size": 32}], none_wrong) or ()) == [{"size": 64}, {"size": 96}]


def test_spaces_that_hold_many_are_not_looked_through() -> None:
    many = [Parameter(f"size{number}", "integer", low=1, high=100) for number in range(3)]
    assert untried(many, [], none_wrong) is None
    assert untried(SPACE.parameters, [], none_wrong) is None


def test_values_that_the_space_does_not_hold_teach_nothing_and_keep_the_journal(tmp_path: Path) -> None:
    loop = Loop("random", tmp_path)
    loop.run(2)
    found = loop.ask()
    assert found is not None
    loop.history.trials[2].values["batch"] = 64
    loop.train(2)
    loop.reload()
    assert not list(tmp_path.glob("*.broken"))


@pytest.mark.parametrize("algorithm", MULTI_FIDELITY)
def test_the_hyperband_family_ends_hopeless_trials_early(algorithm: str, tmp_path: Path) -> None:
    trials = Loop(algorithm, tmp_path).run(12)
    assert any(trial.state == "stopped" for trial in trials)
    assert sum(trial.last_epoch for trial in trials) < 12 * EPOCHS


def test_members_of_a_population_go_on_from_checkpoints(tmp_path: Path) -> None:
    loop = Loop("pbt", tmp_path)
    trials = loop.run(30)
    later = [trial for trial in trials if trial.continues is not None]
    assert later
    assert all(trial.epochs > trials[trial.continues].last_epoch for trial in later if trial.continues is not None)
    assert any("copies" in trial.origin for trial in later)
    assert max(trial.last_epoch for trial in trials) == EPOCHS
    assert loop.searcher.needed() <= {trial.number for trial in trials}


def test_why_a_population_has_no_more_is_told(tmp_path: Path) -> None:
    loop = Loop("pbt", tmp_path)
    trials = loop.run(4)
    assert loop.searcher.why_over() == "no more values were found that obey the rules"
    for trial in trials:
        trial.epochs = EPOCHS
    assert loop.searcher.why_over() == "the population is trained to the end"
    for trial in trials:
        trial.state = "failed"
    assert loop.searcher.why_over() == "all members of the population failed"


@pytest.mark.parametrize("damage", [b'{"op_code": 4, "trial_', b"garbage\n{}\n"])
def test_a_journal_that_a_kill_damaged_is_put_right(tmp_path: Path, damage: bytes) -> None:
    whole = [trial.values for trial in Loop("random", make(tmp_path / "a")).run(6)]
    loop = Loop("random", make(tmp_path / "b"))
    loop.run(4)
    with (tmp_path / "b" / JOURNAL).open("ab") as file:
        file.write(damage)
    loop.reload()
    assert [trial.values for trial in loop.run(6)] == whole


def test_a_journal_that_is_gone_is_written_anew(tmp_path: Path) -> None:
    loop = Loop("bohb", tmp_path)
    loop.run(5)
    (tmp_path / JOURNAL).unlink()
    loop.reload()
    assert len(loop.run(7)) == 7


@pytest.mark.parametrize(("short", "name"), [("b", "bayesian"), ("H", "hyperband"), ("hes", "hyperband_es")])
def test_the_peers_short_names_are_understood(short: str, name: str) -> None:
    assert algorithm_name(short) == name


@pytest.mark.parametrize(("name", "nearest"), [("bfbo", "bayesian"), ("dehb", "bohb"), ("autoresearch", "bayesian")])
def test_what_is_refused_says_why_and_what_is_nearest(name: str, nearest: str) -> None:
    with pytest.raises(NotAvailableError, match=name) as caught:
        algorithm_name(name)
    assert caught.value.problems[0].expected.endswith(f"the nearest is {nearest}")


def test_an_unknown_algorithm_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        algorithm_name("bayesain")
    assert "the nearest is bayesian" in caught.value.problems[0].expected


def test_without_its_packages_it_is_told_that_no_gaussian_process_proposes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Loop("bayesian", tmp_path / "a").history.notes == []
    for module in ("samplers", "optuna_searcher"):
        monkeypatch.setattr(f"tao_skill.automl.{module}.has_gaussian_process", lambda: False)
    loop = Loop("bayesian", tmp_path / "b")
    loop.run(12)
    loop.reload()
    (note,) = loop.history.notes
    assert "PyTorch or SciPy is missing" in note


def test_what_was_interrupted_counts_when_it_ends_and_not_before(tmp_path: Path) -> None:
    loop = Loop("bayesian", tmp_path)
    loop.run(2)
    assert loop.ask() is not None
    trial = loop.history.trials[2]
    loop.history.add_report(trial, 1, -5.0)
    trial.state, trial.reason = "stopped", INTERRUPTED
    loop.reload()
    assert optuna_states(tmp_path)[2] == (TrialState.RUNNING, None)
    loop.train(2)
    assert optuna_states(tmp_path)[2] == (TrialState.COMPLETE, loop.history.trials[2].best_value)


def optuna_states(folder: Path) -> list[tuple[TrialState, float | None]]:
    study = optuna.load_study(study_name=STUDY_NAME, storage=open_journal(folder))
    return [(trial.state, trial.value) for trial in study.get_trials() if "trial" in trial.user_attrs]
