"""Population-based training (Jaderberg et al., arXiv:1711.09846): members train on, the worst copy the best.

Ray Tune has it too, but only for trials that Ray runs; here each generation of a member is a trial like any other, that
goes on from the checkpoint of an earlier one, so it needs nothing but the history.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.automl.parameter import Parameter
from tao_skill.automl.searcher import Ended, Recommendation
from tao_skill.automl.space import SearchSpace
from tao_skill.config.automl import AutoML
from tao_skill.errors import Problem

__all__ = ["PopulationSearcher", "to_the_end"]

_DRAWS = 200
# The worst quarter copies from the best quarter; a copied value is drawn anew with this probability.
_QUARTER = 4
_DRAW_ANEW = 0.25


class PopulationSearcher:
    """Members are lines of trials, each going on from the one before; generation g ends after g intervals."""

    def __init__(
        self,
        history: SearchHistory,
        space: SearchSpace,
        settings: AutoML,
        baseline: Mapping[str, Any],
        *,
        acceptable: Callable[[Mapping[str, Any]], Sequence[Problem]],
    ) -> None:
        self._history, self._space, self._settings = history, space, settings
        self._baseline, self._acceptable = dict(baseline), acceptable
        self._interval = settings.automl_eval_interval or max(1, -(-history.full_epochs // 4))

    def ask(self) -> Recommendation | None:
        """Return the next member of the first generation, or the next generation of a member that ended one."""
        trials = self._history.trials
        number = len(trials)
        chance = random.Random(f"{self._settings.automl_seed}-{number}")
        first = [trial for trial in trials if trial.continues is None]
        if len(first) < self._settings.automl_population_size:
            values = self._baseline if number == 0 else self._drawn(chance)
            origin = "baseline" if number == 0 else "search"
            epochs = min(self._interval, self._history.full_epochs)
            return None if values is None else Recommendation(number, values, epochs, origin)
        ready = [one for one in self._newest() if one.ended and one.epochs < self._history.full_epochs]
        # The member that is behind goes first, so that generations stay together; one that failed may find no source.
        behind_first = sorted(ready, key=lambda trial: (trial.epochs, trial.number))
        found = (self._next_generation(number, member, chance) for member in behind_first)
        return next((one for one in found if one is not None), None)

    @property
    def is_thinking(self) -> bool:
        """Return False: values are drawn at once."""
        return False

    def go_on_from(self, best: Trial) -> Recommendation | None:
        """Return None: that is what each generation does."""
        del best
        return None

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Return False: members aren't ended, they copy."""
        del number, epoch, value
        return False

    def tell(self, number: int, ended: Ended, value: float | None) -> None:
        """Do nothing: the history holds it all."""
        del number, ended, value

    def needed(self) -> set[int]:
        """Return the newest trial of each member."""
        return {trial.number for trial in self._newest()}

    def why_over(self) -> str:
        """Say why nothing is left to try."""
        alive = [trial for trial in self._newest() if trial.state != "failed"]
        if not alive:
            return "all members of the population failed"
        if all(trial.epochs >= self._history.full_epochs for trial in alive):
            return "the population is trained to the end"
        return "no more values were found that obey the rules"

    def _newest(self) -> list[Trial]:
        """Return the last trial of each member; a trial says in its origin which member it belongs to."""
        newest: dict[int, Trial] = {}
        for trial in self._history.trials:
            newest[self._member(trial)] = trial
        return list(newest.values())

    def _member(self, trial: Trial) -> int:
        if trial.continues is None and not trial.origin.startswith("member"):
            return trial.number
        return int(trial.origin.split()[1].rstrip(":,"))

    def _next_generation(self, number: int, member: Trial, chance: random.Random) -> Recommendation | None:
        scored = [one for one in self._newest() if one.best_value is not None and one.state != "failed"]
        if not scored:
            return None
        full, who = self._history.full_epochs, self._member(member)
        epochs = min(member.epochs + self._interval, full)
        ranked = sorted(scored, key=self._score, reverse=True)
        few = max(1, len(ranked) // _QUARTER)
        is_worst = member.state == "failed" or (len(ranked) > 1 and member in ranked[-few:])
        # A member that is trained to the end leaves nothing to go on with; one that trains changes its checkpoints.
        good = (one for one in ranked[: max(few, len(ranked) // 2)] if one.ended and one is not member)
        sources = [one for one in good if one.last_epoch < full]
        if not is_worst or not sources:
            if member.state == "failed":
                return None
            return Recommendation(number, dict(member.values), epochs, f"member {who}: goes on", member.number)
        source = chance.choice(sources[:few])
        values = self._perturbed(source.values, chance)
        if values is None:
            return None
        epochs = min(max(member.epochs, source.last_epoch) + self._interval, full)
        return Recommendation(number, values, epochs, f"member {who}: copies trial {source.number}", source.number)

    def _score(self, trial: Trial) -> float:
        last = [one.value for one in sorted(trial.reports, key=lambda one: one.epoch) if one.value is not None]
        value = last[-1] if last else float("-inf")
        return value if self._history.direction == "maximize" else -value

    def _drawn(self, chance: random.Random) -> dict[str, Any] | None:
        return self._first_acceptable(lambda: {one.key: one.draw(chance) for one in self._space.parameters})

    def _perturbed(self, values: Mapping[str, Any], chance: random.Random) -> dict[str, Any] | None:
        factor, parameters = self._settings.automl_perturbation_factor, self._space.going_on_from(values)

        def change() -> dict[str, Any]:
            return {one.key: _changed(one, values.get(one.key), factor, chance) for one in parameters}

        return self._first_acceptable(change)

    def _first_acceptable(self, draw: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        for _ in range(_DRAWS):
            values = draw()
            if not self._acceptable(values):
                return values
            self._history.rejected += 1
        return None


def to_the_end(history: SearchHistory, best: Trial) -> Recommendation:
    """Return what trains a member whose generation was the best on to the end, with the same values."""
    member = best.origin.partition(":")[0] if best.continues is not None else f"member {best.number}"
    values, epochs = dict(best.values), history.full_epochs
    return Recommendation(len(history.trials), values, epochs, f"{member}: is the best, and goes on", best.number)


def _changed(parameter: Parameter, value: Any, factor: float, chance: random.Random) -> Any:
    """Return a copied value a little higher or lower, or now and then a new one."""
    if parameter.encode(value) is None or chance.random() < _DRAW_ANEW:
        return parameter.draw(chance)
    if parameter.kind == "choice":
        return value
    changed = value * (factor if chance.random() < 0.5 else 1 / factor)
    changed = min(max(changed, parameter.low), parameter.high)
    return round(changed / parameter.step) * parameter.step if parameter.kind == "integer" else changed
