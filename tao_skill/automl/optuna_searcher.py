"""Search with Optuna: its samplers propose, its pruners end what is hopeless, its journal remembers."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from tao_skill.automl.few import untried
from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.automl.journal import STUDY_NAME, open_journal, set_aside
from tao_skill.automl.samplers import STARTUP_TRIALS, distribution, has_gaussian_process, pruner, sampler
from tao_skill.automl.searcher import Ended, Recommendation
from tao_skill.automl.space import SearchSpace
from tao_skill.automl.starting import GOES_ON_NEAR, others, starting_values
from tao_skill.config.automl import AutoML
from tao_skill.errors import Problem

__all__ = ["OptunaSearcher"]

Acceptable = Callable[[Mapping[str, Any]], Sequence[Problem]]
# Values that break a rule cost nothing but a draw; a space without any that hold is the user's mistake.
_DRAWS = 3
_RANDOM_DRAWS = 500
_NUMBER = "trial"
_NO_PROCESS = (
    "PyTorch or SciPy is missing here: a tree-structured Parzen estimator proposed values, not a Gaussian process."
)
# Where a language model proposes, Optuna does what it does by default: its turn in hybrid, and a fallback.
_PROPOSES = {"llm": "bayesian", "hybrid": "bayesian"}


class OptunaSearcher:
    """One of Optuna's samplers with one of its pruners, over the journal in ``folder``.

    The history of trials decides: a journal that doesn't agree with it, because a kill came between the two, is put
    right, and one that can't be read is written anew.
    """

    def __init__(
        self,
        history: SearchHistory,
        space: SearchSpace,
        settings: AutoML,
        baseline: Mapping[str, Any],
        *,
        folder: Path,
        acceptable: Acceptable,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._name = _PROPOSES.get(history.algorithm, history.algorithm)
        self._history, self._space, self._settings = history, space, settings
        self._baseline, self._acceptable = dict(baseline), acceptable
        self._distributions = {one.key: distribution(one) for one in space.parameters}
        self._trials: dict[int, optuna.Trial] = {}
        self._folder = folder
        self._study = self._open()

    def ask(self) -> Recommendation | None:
        """Return the baseline first, then what is worth trying first, then what the sampler proposes."""
        number = len(self._history.trials)
        if number == 0:
            return self.recommend(0, self._baseline, "baseline")
        tried = self._tried(None)
        if self.is_used_up():
            return None
        if self._name == "bayesian":
            if (point := self._starting_point(tried)) is not None:
                return self.recommend(number, point, "starting point")
            if number < STARTUP_TRIALS:
                return self._drawn(number, self._from_what_works)
            if not has_gaussian_process() and _NO_PROCESS not in self._history.notes:
                self._history.notes.append(_NO_PROCESS)
        for _ in range(_DRAWS):
            trial = self._draw(self._name)
            values = self._decoded(trial.params)
            wrong = self._acceptable(values)
            if not wrong and values not in tried:
                trial.set_user_attr(_NUMBER, number)
                self._trials[number] = trial
                return Recommendation(number, values, self._history.full_epochs)
            self._history.rejected += bool(wrong)
            self._study.tell(trial, state=TrialState.FAIL)
        # A model that is not told of rules, nor of what was tried, proposes the same again.
        return self._drawn(number, self._anywhere)

    @property
    def is_thinking(self) -> bool:
        """Return False: values are drawn at once."""
        return False

    def go_on_from(self, best: Trial) -> Recommendation | None:
        """Return other values for some of the best's; None for algorithms that don't draw from what works."""
        if self._name != "bayesian":
            return None
        number = len(self._history.trials)
        parameters, values = self._space.going_on_from(best.values), best.values
        found = self._drawn(number, lambda _, chance: others(parameters, values, chance, stays_near=GOES_ON_NEAR), best)
        if found is None:
            return None
        return replace(found, origin=f"from trial {best.number}, other values", continues=best.number)

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Report to Optuna, and return what its pruner says; the baseline is never hopeless."""
        trial = self._trials[number]
        if trial.storage.get_trial(trial._trial_id).state.is_finished():
            return False  # the winner, whose training goes on to the end
        # How long trials train before they pause is known only since the baseline has shown what an epoch costs.
        self._study.pruner = pruner(self._name, self._settings, self._history)
        with warnings.catch_warnings():
            # A trial that goes on after a kill reports its last epoch again.
            warnings.simplefilter("ignore")
            trial.report(value, epoch)
        return number > 0 and self._settings.automl_early_stopping and trial.should_prune()

    def tell(self, number: int, ended: Ended, value: float | None) -> None:
        """Tell Optuna how a trial ended.

        A trial that was stopped counts with its best value: the Gaussian process and the median know only ended
        trials with a value, and half of all that was learned is learned from the hopeless.
        """
        trial = self._trials.get(number)
        if trial is None or trial.storage.get_trial(trial._trial_id).state.is_finished():
            return
        usable = ended != "failed" and value is not None and self._is_representable(number)
        self._study.tell(trial, value if usable else None, state=None if usable else TrialState.FAIL)

    def needed(self) -> set[int]:
        """Return none: the search itself keeps those that `go_on_from` names."""
        return set()

    def why_over(self) -> str:
        """Say why nothing is left to try."""
        every = untried(self._space.parameters, [], self._acceptable)
        if every is not None:
            count = sum(1 for _ in every)
            return (
                f"all {count} configurations that the rules allow were tried" if count else "no values obey all rules"
            )
        return f"no values were found that obey all rules ({self._history.rejected} were drawn)"

    def is_used_up(self) -> bool:
        """Say whether the space holds few configurations, and all of them were tried."""
        left = self._left(None)
        return left is not None and next(left, None) is None

    def _tried(self, source: Trial | None) -> list[dict[str, Any]]:
        """Return the values that were tried from the start, or from the checkpoint of another trial."""
        begun = None if source is None else source.number
        own = [source.values] if source is not None else []
        return own + [trial.values for trial in self._history.trials if trial.continues == begun]

    def _left(self, source: Trial | None) -> Iterator[dict[str, Any]] | None:
        parameters = self._space.parameters if source is None else self._space.going_on_from(source.values)
        return untried(parameters, self._tried(source), self._acceptable)

    def _drawn(
        self, number: int, draw: Callable[[int, random.Random], dict[str, Any]], source: Trial | None = None
    ) -> Recommendation | None:
        """Return the first of the drawn values that are acceptable and new; None where none is."""
        tried = self._tried(source)
        chance = random.Random(f"{self._settings.automl_seed}-{number}")
        for _ in range(_RANDOM_DRAWS):
            values = draw(number, chance)
            if values in tried:
                continue
            if not self._acceptable(values):
                return self.recommend(number, values, "search")
            self._history.rejected += 1
        # Of a few, draws may miss the last one.
        left = next(self._left(source) or iter(()), None)
        return None if left is None else self.recommend(number, left, "search")

    def _starting_point(self, tried: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        """Return the first of the points that is acceptable and new."""
        points = (self._completed(place, point) for place, point in enumerate(self._space.points))
        return next((one for one in points if one not in tried and not self._acceptable(one)), None)

    def _completed(self, place: int, point: Mapping[str, Any]) -> dict[str, Any]:
        """Return a point with the baseline's values for the rest, or drawn ones where the ranges don't hold those."""
        chance = random.Random(f"{self._settings.automl_seed}-point-{place}")
        values = {**self._baseline, **point}
        for one in self._space.parameters:
            if one.encode(values[one.key]) is None:
                values[one.key] = one.draw(chance)
        return values

    def _from_what_works(self, number: int, chance: random.Random) -> dict[str, Any]:
        return starting_values(self._space.parameters, self._baseline, self._history, number, chance)

    def _anywhere(self, number: int, chance: random.Random) -> dict[str, Any]:
        del number
        return {one.key: one.draw(chance) for one in self._space.parameters}

    def recommend(self, number: int, values: Mapping[str, Any], origin: str) -> Recommendation:
        """Return values that are given, and let Optuna learn from them."""
        encoded = self._encoded(values)
        self._study.enqueue_trial(encoded or {})
        trial = self._draw("random" if encoded else self._name)  # nothing has to be thought about
        trial.set_user_attr(_NUMBER, number)
        self._trials[number] = trial
        return Recommendation(number, dict(values), self._history.full_epochs, origin)

    def _draw(self, name: str) -> optuna.Trial:
        # A sampler for each draw, its seed from the draw's number: a search that goes on draws what it would have. Not
        # their sum: a search with the next seed would draw the same, one trial earlier.
        chance = random.Random(f"{self._settings.automl_seed}-{len(self._study.get_trials(False))}")
        self._study.sampler = sampler(name, chance.getrandbits(32))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return self._study.ask(self._distributions)

    def _encoded(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the numbers that stand for values; None where the space doesn't hold them all."""
        encoded = {one.key: one.encode(values.get(one.key)) for one in self._space.parameters}
        return None if None in encoded.values() else encoded

    def _decoded(self, numbers: Mapping[str, float]) -> dict[str, Any]:
        return {one.key: one.decode(numbers[one.key]) for one in self._space.parameters}

    def _is_representable(self, number: int) -> bool:
        return self._encoded(self._history.trials[number].values) is not None

    def _open(self) -> optuna.Study:
        try:
            study = self._load()
            self._agree(study)
        except (ValueError, KeyError, AssertionError, optuna.exceptions.OptunaError):
            self._trials.clear()
            set_aside(self._folder)
            study = self._load()
            self._study = study
            self._replay()
        return study

    def _load(self) -> optuna.Study:
        return optuna.create_study(
            study_name=STUDY_NAME, storage=open_journal(self._folder), direction=self._history.direction,
            sampler=sampler(self._name, 0), load_if_exists=True,
        )  # fmt: skip

    def _agree(self, study: optuna.Study) -> None:
        """Take the journal's trials over; raise KeyError where one that the history knows is missing."""
        known = {trial.number: trial for trial in self._history.trials}
        for frozen in study.get_trials(deepcopy=False):
            number = frozen.user_attrs.get(_NUMBER)
            if number in known:
                self._trials[number] = optuna.Trial(study, frozen._trial_id)
            elif not frozen.state.is_finished():
                # Drawn, but killed before it was written down: it never ran.
                study.tell(frozen.number, state=TrialState.FAIL)
        self._study = study
        for number, trial in known.items():
            if self._is_representable(number) and self._decoded(self._trials[number].params) != trial.values:
                raise KeyError(number)
            if not trial.goes_on:
                self.tell(number, trial.state, self._history.trained_value(trial))  # type: ignore[arg-type]

    def _replay(self) -> None:
        """Write the journal anew from the history."""
        for trial in self._history.trials:
            self.recommend(trial.number, trial.values, trial.origin)
            for one in trial.reports:
                if one.value is not None:
                    self.report(trial.number, one.epoch, one.value)
            if not trial.goes_on:
                self.tell(trial.number, trial.state, self._history.trained_value(trial))  # type: ignore[arg-type]
