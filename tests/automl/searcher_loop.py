"""The least of a search, for tests of what proposes values."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from tao_skill.automl.algorithms import make_searcher
from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.automl.parameter import Parameter
from tao_skill.automl.searcher import Recommendation, Searcher, ask_patiently
from tao_skill.automl.space import SearchSpace
from tao_skill.config.automl import AutoML
from tao_skill.errors import Problem

SPACE = SearchSpace(
    (
        Parameter("rate", "number", low=1e-5, high=1.0, log=True, default=0.5),
        Parameter("batch", "choice", choices=(8, 16, 32), default=16),
        Parameter("layers", "integer", low=1, high=4, default=2),
    )
)
BASELINE = {"rate": 0.5, "batch": 16, "layers": 2}
EPOCHS = 9


def none_wrong(values: Any) -> list[Problem]:
    del values
    return []


class Loop:
    """The least of a search: asks, trains in no time, tells."""

    def __init__(
        self,
        algorithm: str,
        folder: Path,
        direction: str = "maximize",
        acceptable: Any = none_wrong,
        space: SearchSpace = SPACE,
        *,
        seed: int = 3,
    ) -> None:
        self.settings = AutoML(automl_algorithm=algorithm, automl_seed=seed)
        folder.mkdir(exist_ok=True)
        self.folder, self.acceptable, self.space = folder, acceptable, space
        self.baseline = {one.key: one.default for one in space.parameters}
        self.history = SearchHistory(
            job_id="search", skill="s", skill_dir="d", algorithm=algorithm, metric="m",
            direction=direction, full_epochs=EPOCHS, settings={}, space=[], started_at="",
        )  # type: ignore[arg-type]  # fmt: skip
        self.searcher = self.make()

    def make(self) -> Searcher:
        return make_searcher(
            self.history, self.space, self.settings, self.baseline, self.folder, acceptable=self.acceptable
        )

    def reload(self) -> None:
        """Go on as after a kill: with what was written down, and nothing else."""
        self.history = SearchHistory.model_validate_json(self.history.model_dump_json())
        self.searcher = self.make()

    def ask(self) -> Recommendation | None:
        found = ask_patiently(self.searcher, time.monotonic() + 20)
        if found is not None:
            self.history.trials.append(
                Trial(number=found.number, origin=found.origin, continues=found.continues, values=found.values,
                      epochs=found.epochs, state="running")
            )  # fmt: skip
        return found

    def train(self, number: int) -> Trial:
        trial = self.history.trials[number]
        begin = 0 if trial.continues is None else self.history.trials[trial.continues].last_epoch
        sign = 1 if self.history.direction == "maximize" else -1
        trial.state = "complete"
        for epoch in range(begin + 1, trial.epochs + 1):
            value = sign * (1 - abs(math.log10(trial.values.get("rate", 0.5)) + 2) / 3 - 0.2 / epoch)
            self.history.add_report(trial, epoch, value)
            if self.searcher.report(number, epoch, value):
                trial.state = "stopped"
                break
        self.searcher.tell(number, trial.state, trial.best_value)  # type: ignore[arg-type]
        return trial

    def run(self, trials: int) -> list[Trial]:
        while len(self.history.trials) < trials and (found := self.ask()) is not None:
            self.train(found.number)
        return self.history.trials
