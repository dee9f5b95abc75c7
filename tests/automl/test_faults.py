"""What the machine does to trials and their search: it ends them, refuses to start them, tells late of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from automl_machine import Clock, Machine, Proposals, Training, new_history, searched  # loaded by conftest.py

from tao_skill.automl.history import INTERRUPTED, Report, SearchHistory
from tao_skill.automl.retention import disk_bound
from tao_skill.automl.search import Search, Stopped
from tao_skill.automl.trial_runner import Attempt
from tao_skill.config.automl import AutoML

HEIGHTS = [0.5, 0.6, 0.9, 0.55, 0.4, 0.45, 0.5, 0.3]
SPEEDS = [0.05] * 8


def test_a_trial_that_works_is_hope_however_many_fail_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Training, "others_fail", True)
    history, machine = searched(monkeypatch, [0.5] * 12, [0.05] * 12, 160, trials=12, slots=2)
    assert sum(one.state == "failed" for one in history.trials) == 11
    assert "failed" not in history.end_reason
    assert history.winner == 0
    assert [epoch for number, epoch in machine.starts if number == 0] == [0, 36, 72]  # it went on and on


def test_a_finalist_that_the_machine_ends_goes_on_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Training, "breaks", {(1, 12)})
    history, machine = searched(monkeypatch, HEIGHTS, SPEEDS, 160)
    assert machine.starts[8:] == [(2, 9), (1, 9), (1, 12), (3, 9), (2, 18)]
    assert history.trials[1].failure is None
    assert history.trials[1].last_epoch == 18


def test_what_breaks_while_a_search_is_interrupted_goes_on_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("tao_skill.automl.trial_runner.time", clock)
    monkeypatch.setattr(Training, "breaks_stopping", {2})
    history, machine = new_history(), Machine(clock, HEIGHTS, SPEEDS)
    settings = AutoML(automl_max_recommendations=3)

    def search(until: float) -> Search:
        return Search(
            history, settings, Proposals(history), machine, save=lambda _: None,
            asked_to_stop=lambda: "somebody" if clock.now > until else "",
        )  # fmt: skip

    # Each epoch takes a second, and the search a twentieth of one to look; two trials end after 210 seconds.
    with pytest.raises(Stopped):
        search(230).run()
    broken = history.trials[2]
    assert (broken.state, broken.reason, broken.failure) == ("stopped", INTERRUPTED, None)
    assert [number for number, _ in machine.starts].count(2) == 1
    search(1000).run()
    assert machine.starts[-1] == (2, 19)
    assert (broken.state, history.winner) == ("complete", 2)


def test_a_trial_that_the_machine_does_not_start_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    start, refused = Machine.start, [1]

    def sometimes(self: Machine, trial: Any) -> Any:
        if trial.number in refused:
            refused.remove(trial.number)
            raise OSError(24, "Too many open files")
        return start(self, trial)

    monkeypatch.setattr(Machine, "start", sometimes)
    history, _ = searched(monkeypatch, HEIGHTS, SPEEDS, 160)
    assert history.trials[1].failure is None
    assert history.trials[1].last_epoch == 18


@pytest.mark.parametrize("together", [1, 3])
def test_reports_that_come_together_say_nothing_of_time(monkeypatch: pytest.MonkeyPatch, together: int) -> None:
    monkeypatch.setattr(Training, "together", together)
    history, _ = searched(monkeypatch, HEIGHTS, SPEEDS, 160)
    assert history.first_pause == 9
    assert history.winner == 2


def test_the_last_of_what_came_together_tells_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    poll = Training.poll

    def in_threes(self: Training) -> Any:
        first = poll(self)
        if first.reports and self.machine.epochs[self.trial.number] > 1:
            rest = [one for _ in range(2) for one in poll(self).reports]
            return replace(first, reports=[*first.reports, *rest])
        return first

    monkeypatch.setattr(Training, "poll", in_threes)
    history, _ = searched(monkeypatch, HEIGHTS, SPEEDS, 160)
    assert history.first_pause == 9


def test_what_pauses_and_breaks_while_a_search_is_interrupted_goes_on_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Training, "breaks_stopping", {3})
    stop, clocks = Training.stop, []

    def noted(self: Training, reason: str) -> None:
        if self.trial.number == 3:
            clocks.append(self.machine.clock.now)
        stop(self, reason)

    monkeypatch.setattr(Training, "stop", noted)
    searched(monkeypatch, HEIGHTS, SPEEDS, 160)
    at = clocks[0] - 0.01  # somebody interrupts just when trial 3 has been asked to pause
    monkeypatch.setattr(Training, "breaks_stopping", {3})
    history, _ = searched(monkeypatch, HEIGHTS, SPEEDS, 160, stops=(at,))
    assert history.trials[3].failure is None
    assert history.trials[3].last_epoch == 18


@pytest.mark.parametrize("slots", [1, 3])
def test_no_more_checkpoints_lie_on_the_disk_than_the_bound_says(monkeypatch: pytest.MonkeyPatch, slots: int) -> None:
    most = [0]
    forget = Machine.forget

    def counted(self: Machine, trial: Any) -> None:
        most[0] = max(most[0], len(self.epochs))
        forget(self, trial)

    monkeypatch.setattr(Machine, "forget", counted)
    rising = [0.5 + 0.01 * number for number in range(40)]
    history, _ = searched(monkeypatch, rising, [50.0] * 40, 200, trials=40, learns=True, slots=slots)
    assert len(history.trials) > most[0] > 2
    history.largest_trial_bytes = 10**9
    bound = disk_bound(history, AutoML(), slots)
    assert bound.startswith("at most the checkpoints of ")
    assert most[0] <= int(bound.split()[5])


def test_what_is_removed_is_not_the_best_of_what_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[SearchHistory] = []
    forget, forgotten = Machine.forget, []

    def checked(self: Machine, trial: Any) -> None:
        # After a kill just then, what runs may fail; of the rest, another one is better.
        ended = [one for one in written[-1].ranked() if one.ended]
        forgotten.append(trial.number)
        assert ended[0].number != trial.number
        forget(self, trial)

    monkeypatch.setattr(Machine, "forget", checked)
    rising = [0.5 + 0.01 * number for number in range(40)]
    searched(
        monkeypatch, rising, [50.0] * 40, 900, trials=8, slots=2,
        save=lambda history: written.append(history.model_copy(deep=True)),
    )  # fmt: skip
    assert forgotten


def test_the_time_of_a_trial_that_is_killed_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[SearchHistory] = []
    searched(
        monkeypatch, HEIGHTS, SPEEDS, 160,
        save=lambda history: written.append(history.model_copy(deep=True)),
    )  # fmt: skip
    running = [(one.seconds, one.last_epoch) for history in written for one in history.trials if one.state == "running"]
    assert all(seconds >= epochs - 1 for seconds, epochs in running)
    assert max(epochs for _, epochs in running) > 20


def test_what_is_told_again_says_nothing_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("tao_skill.automl.trial_runner.time", clock)
    trial = new_history(0.4).trials[0]
    one = Attempt(trial, running=Training(Machine(clock, [0.5], [0.5]), trial), since=0.0, reported=2)
    clock.now = 60.0  # a worker that had to be started
    one.note_time()
    assert one.seconds_per_epoch() is None
    for epoch, now in ((3, 61.0), (4, 64.0)):
        trial.reports.append(Report(epoch=epoch, value=0.5))
        clock.now = now
        one.note_time()
    assert one.seconds_per_epoch() == 3.0


def test_what_waits_since_an_interruption_pauses_with_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    heights = [0.5, 0.1, *HEIGHTS[2:]]
    history, machine = searched(monkeypatch, heights, SPEEDS, 160, slots=2, stops=(1.2,))
    assert machine.slots == 1
    assert history.first_pause
    assert history.trials[1].last_epoch == history.first_pause


def test_failures_of_before_do_not_end_a_search_that_is_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Training, "all_fail", True)
    clock = Clock()
    monkeypatch.setattr("tao_skill.automl.trial_runner.time", clock)
    history, machine = new_history(), Machine(clock, [0.5] * 20, SPEEDS * 3)
    settings = AutoML(automl_max_recommendations=8)

    def search() -> None:
        Search(history, settings, Proposals(history), machine, save=lambda _: None).run()

    search()
    assert (len(history.trials), "the first 5 trials failed" in history.end_reason) == (5, True)
    monkeypatch.setattr(Training, "all_fail", False)  # somebody mended it
    search()
    assert [one.state for one in history.trials[5:]] == ["complete"] * 3
