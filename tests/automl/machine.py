"""A machine on which time passes only while trials train, to run whole searches on in no time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar

import pytest

from tao_skill.automl.executor import End, Progress, Running
from tao_skill.automl.history import Failure, SearchHistory, Trial
from tao_skill.automl.search import Search, Stopped
from tao_skill.automl.searcher import Ended, Recommendation
from tao_skill.config.automl import AutoML
from tao_skill.errors import Problem


def new_history(*values: float, algorithm: str = "bayesian", direction: str = "maximize") -> SearchHistory:
    """Return a history of trials that were stopped after two epochs, the second of which gave those values."""
    history = SearchHistory(
        job_id="job", skill="tiny", skill_dir="/s", algorithm=algorithm, metric="score", direction=direction,
        full_epochs=100, settings={}, space=[], started_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    for number, value in enumerate(values):
        trial = Trial(number=number, origin="search", values={}, epochs=100, state="stopped")
        history.add_report(trial, 1, value / 2)
        history.add_report(trial, 2, value)
        history.trials.append(trial)
    return history


class Clock:
    """Time that passes only while trials train."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Machine:
    """An executor whose trials take a second an epoch; trial n reaches ``heights[n]``, with ``speeds[n]``."""

    can_go_on = True
    copies = True  # whether a trial may begin from one that runs

    def __init__(self, clock: Clock, heights: list[float], speeds: list[float], slots: int = 1) -> None:
        self.clock, self.heights, self.speeds, self.slots = clock, heights, speeds, slots
        self.epochs: dict[int, int] = {}  # what checkpoints hold
        self.starts: list[tuple[int, int]] = []
        self.forgotten: list[int] = []
        self.running = 0

    def can_begin_from(self, trial: Trial) -> bool:
        return trial.number in self.epochs and (trial.ended or self.copies)

    def check(self, values: Mapping[str, Any]) -> list[Problem]:
        del values
        return []

    def start(self, trial: Trial) -> Running:
        if trial.continues is not None and trial.number not in self.epochs:
            self.epochs[trial.number] = self.epochs[trial.continues]
        self.starts.append((trial.number, self.epochs.get(trial.number, 0)))
        self.running += 1
        assert self.running <= self.slots
        return Training(self, trial)

    def leave(self, trial: Trial, reason: str) -> Progress:
        del trial, reason
        return Progress(end=End("stopped"))

    def forget(self, trial: Trial) -> None:
        self.forgotten.append(trial.number)
        self.epochs.pop(trial.number, None)

    def close(self) -> None:
        return

    def value(self, number: int, epoch: int) -> float:
        return self.heights[number] * (1 - math.exp(-self.speeds[number] * epoch))


BROKEN = Failure(kind="infrastructure", message="the machine broke")


class Training:
    continued_fails = all_fail = going_on_fails = others_fail = False
    interval = 1
    together = 1  # so many first reports come at once
    breaks: ClassVar[set[tuple[int, int]]] = set()  # the trials that the machine ends, once, each with its epoch
    breaks_stopping: ClassVar[set[int]] = set()  # those that it ends when they are asked to stop

    def __init__(self, machine: Machine, trial: Trial) -> None:
        self.machine, self.trial, self.stopping = machine, trial, False
        self.begun = machine.epochs.get(trial.number, 0)

    def poll(self) -> Progress:
        machine, number = self.machine, self.trial.number
        epoch = machine.epochs.get(number, 0)
        fails = self.all_fail or (self.continued_fails and self.trial.continues is not None)
        fails = fails or (self.going_on_fails and self.trial.went_on)
        if (number, epoch) in self.breaks or (self.stopping and number in self.breaks_stopping):
            self.breaks.discard((number, epoch))
            self.breaks_stopping.discard(number)
            return self._ended(End("failed", BROKEN))
        if self.others_fail and number > 0:
            return self._ended(End("failed", Failure(kind="configuration", message="no such values")))
        # Some fail sooner than others.
        if fails and epoch - self.begun >= number % 4:
            return self._ended(End("failed", Failure(kind="configuration", message="no such values")))
        if self.stopping:
            return self._ended(End("stopped"))
        if epoch == self.trial.epochs:
            return self._ended(End("done"))
        epochs = self.together if epoch == 0 else 1
        machine.clock.now += epochs / machine.slots
        machine.epochs[number] = epoch + epochs
        told = [(one, machine.value(number, one)) for one in range(epoch + 1, epoch + epochs + 1)]
        return Progress(told if (epoch + epochs) % self.interval == 0 else ())

    def stop(self, reason: str) -> None:
        del reason
        self.stopping = True

    def _ended(self, end: End) -> Progress:
        self.machine.running -= 1
        return Progress((), end)


class Proposals:
    """A searcher that proposes one trial after the other, and finds none hopeless."""

    def __init__(self, history: SearchHistory, *, learns: bool = False) -> None:
        self.history, self.learns = history, learns

    @property
    def is_thinking(self) -> bool:
        return False

    def ask(self) -> Recommendation | None:
        number = len(self.history.trials)
        return Recommendation(number, {}, self.history.full_epochs, "search" if number else "baseline")

    def go_on_from(self, best: Trial) -> Recommendation | None:
        number = len(self.history.trials)
        return (
            Recommendation(number, {}, self.history.full_epochs, "other values", best.number) if self.learns else None
        )

    def report(self, number: int, epoch: int, value: float) -> bool:
        del number, epoch, value
        return False

    def tell(self, number: int, ended: Ended, value: float | None) -> None:
        del number, ended, value

    def needed(self) -> set[int]:
        return set()

    def why_over(self) -> str:
        return ""


def searched(
    monkeypatch: pytest.MonkeyPatch,
    heights: list[float],
    speeds: list[float],
    seconds: float,
    *,
    trials: int = 8,
    learns: bool = False,
    slots: int = 1,
    stops: tuple[float, ...] = (),
    save: Callable[[SearchHistory], None] = lambda _: None,
) -> tuple[SearchHistory, Machine]:
    """Search, interrupted after some seconds and resumed at once, on as many slots at first."""
    clock = Clock()
    monkeypatch.setattr("tao_skill.automl.trial_runner.time", clock)
    history, machine = new_history(), Machine(clock, heights, speeds, slots)
    settings = AutoML(automl_max_minutes=seconds / 60, automl_max_recommendations=trials)
    for stop in (*stops, math.inf):
        search = Search(
            history, settings, Proposals(history, learns=learns), machine, save=save,
            asked_to_stop=lambda: "somebody" if clock.now > stop else "",  # noqa: B023
        )  # fmt: skip
        with suppress(Stopped):
            search.run()
        machine.slots = 1 if stops else slots
    assert clock.now <= seconds + 2 * slots
    return history, machine
