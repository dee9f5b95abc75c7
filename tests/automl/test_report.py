"""The report: importance, and one page that needs no network, in which nothing foreign comes alive."""

from __future__ import annotations

import html.parser
import math
import re

import pytest

from tao_skill.automl.documents import SearchReport, search_report
from tao_skill.automl.history import Failure, SearchHistory, Trial
from tao_skill.automl.importance import importances
from tao_skill.automl.notes import notes_on
from tao_skill.automl.report_page import render_report
from tao_skill.automl.report_scale import Axis, nice_range

HOSTILE = "</title></style></script><script>alert(1)</script><img src=http://x/y onerror='a()'>\"\ud800\x00"


def new_history(trials: int = 12, direction: str = "maximize") -> SearchHistory:
    space = [
        {"key": "fit.rate", "kind": "number", "low": 1e-5, "high": 1.0, "log": True, "default": 0.5, "reason": ""},
        {"key": "fit.size", "kind": "integer", "low": 1, "high": 8, "log": False, "default": 2, "reason": ""},
        {"key": "fit.kind", "kind": "choice", "choices": ["plain", HOSTILE], "weights": None, "default": "plain",
         "reason": ""},
    ]  # fmt: skip
    history = SearchHistory(
        job_id="job", skill="tiny", skill_dir="/skills/tiny", algorithm="random", metric="score", direction=direction,
        full_epochs=3, settings={"automl_seed": 1}, space=space, started_at="2026-01-01T00:00:00Z",
    )  # type: ignore[arg-type]  # fmt: skip
    for number in range(trials):
        values = {"fit.rate": 10.0 ** (-(number % 6)), "fit.size": number % 8 + 1, "fit.kind": "plain"}
        trial = Trial(number=number, origin="search", values=values, epochs=3, state="complete")
        for epoch in (1, 2, 3):
            history.add_report(trial, epoch, -abs(math.log10(values["fit.rate"]) + 2) - 1 / epoch)
        history.trials.append(trial)
    best = history.best()
    history.winner = None if best is None else best.number
    return history


class _Tags(html.parser.HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.rows: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def test_importance_finds_what_mattered() -> None:
    shares = importances(new_history(24))
    assert next(iter(shares)) == "fit.rate"
    assert sum(shares.values()) == pytest.approx(1.0)


def test_importance_of_few_trials_or_of_equal_ones_is_not_told() -> None:
    assert importances(new_history(3)) == {}
    flat = new_history(10)
    for trial in flat.trials:
        for report in trial.reports:
            report.value = 1.0
    assert importances(flat) == {}


def test_importance_compares_what_is_comparable() -> None:
    """What trials gained after they were compared, or owe to another one, says nothing of their values."""
    history = new_history(24)
    expected = importances(history)
    history.first_pause = 3
    for number, trial in enumerate(history.trials[:3]):
        history.add_report(trial, 4, 5.0 + number)
    for _ in range(6):
        heir = history.trials[0].model_copy(update={"number": len(history.trials), "continues": 0, "begun": 4})
        history.trials.append(heir)
    assert importances(history) == expected


def test_the_winners_notes_say_whose_values_made_it() -> None:
    history = new_history(3)
    assert notes_on(history, history.trials[2]) == []
    first, second, third = history.trials
    second.continues, second.begun, third.continues, third.begun = 0, 3, 1, 5
    (note,) = notes_on(history, third)
    assert "values of trial 0, then trial 1 first, and with its own from epoch 5" in note
    second.values = third.values
    (note,) = notes_on(history, third)
    assert "values of trial 0 first, and with its own from epoch 3" in note
    first.best_value = 0.0  # a start that none of its epochs beat
    assert "No epoch of any trial beat" in notes_on(history, first)[0]


def test_a_gain_over_a_shorter_training_is_told_as_such() -> None:
    history = new_history(3)
    baseline, second, third = history.trials
    assert baseline.last_epoch == second.last_epoch
    assert notes_on(history, second) == []
    history.add_report(third, third.last_epoch + 7, 9.0)
    (note,) = notes_on(history, third)
    assert f"baseline was trained for {baseline.last_epoch} epochs, the best trial for {third.last_epoch}" in note
    assert notes_on(history, baseline) == []


def test_values_outside_of_the_space_are_left_out_of_importance() -> None:
    history = new_history(24)
    history.trials[0].values["fit.rate"] = 99.0
    assert next(iter(importances(history))) == "fit.rate"


@pytest.mark.parametrize("trials", [0, 1, 2, 80])
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_page_has_a_row_for_each_trial_and_asks_no_network(trials: int, direction: str) -> None:
    page = render_report(search_report(new_history(trials, direction)))
    tags = _Tags(page)
    assert len(re.findall(r'<tr id="trial-\d+"', page)) == trials
    links = [value for name, value in tags.attributes if name in ("href", "src", "xlink:href", "action")]
    assert all(str(link).startswith("#trial-") for link in links)
    assert "url(" not in page
    assert "@import" not in page
    assert tags.tags.count("script") == 1
    assert not any(name == "style" or name.startswith("on") for name, _ in tags.attributes)
    assert len(page) < 300_000
    assert "nan" not in re.sub(r"<script>.*?</script>", "", page.lower(), flags=re.DOTALL).split()


def test_what_others_said_stays_text() -> None:
    history = new_history(4)
    history.skill = history.metric = history.end_reason = history.algorithm = HOSTILE
    history.notes = [HOSTILE]
    history.left_out = {HOSTILE: HOSTILE}
    history.settings = {HOSTILE: HOSTILE}
    history.final_evaluation = {"metrics": {HOSTILE: 1.0}, HOSTILE: HOSTILE}
    history.space[0]["key"] = HOSTILE
    history.trials[1].state, history.trials[1].failure = "failed", Failure(kind="data", message=HOSTILE)
    history.trials[2].values = {HOSTILE: HOSTILE, "fit.kind": HOSTILE}
    history.trials[2].origin = history.trials[2].reason = HOSTILE
    report = SearchReport(
        history=history, baseline=0.0, best=1.0, gain=1.0, seconds_per_epoch=1.0, epochs=3, largest_overhead=None,
        importance={HOSTILE: 1.0},
    )  # fmt: skip
    page = render_report(report)
    page.encode("utf-8")
    tags = _Tags(page)
    assert tags.tags.count("script") == 1
    assert tags.tags.count("title") >= 1
    assert "img" not in tags.tags
    assert not any(name.startswith("on") or name == "src" for name, _ in tags.attributes)
    assert "default-src 'none'" in page


def test_what_starting_a_worker_took_is_no_overhead_of_a_warm_trial() -> None:
    history = new_history(4)
    for trial, seconds, cold in zip(history.trials, (9.0, 8.0, 0.5, 0.25), (True, True, False, False), strict=True):
        trial.overhead_seconds, trial.new_worker, trial.attempts = seconds, cold, 1
    assert search_report(history).largest_overhead == 0.5  # two workers, and the first trial of neither


def test_failed_and_stopped_trials_tell_why() -> None:
    history = new_history(4)
    history.trials[1].state, history.trials[1].failure = "failed", Failure(kind="data", message="no images")
    history.trials[2].state, history.trials[2].reason = "stopped", "hopeless after epoch 2"
    page = render_report(search_report(history))
    assert "data: no images" in page
    assert "hopeless after epoch 2" in page
    assert 'class="cross"' in page


def test_a_baseline_that_failed_is_none() -> None:
    history = new_history(4)
    assert history.baseline == history.trials[0].best_value
    history.trials[0].state = "failed"
    report = search_report(history)
    assert (report.baseline, report.gain) == (None, None)
    assert 'class="baseline"' not in render_report(report)


@pytest.mark.parametrize(("direction", "gains"), [("maximize", ["+0", "+1", "+2"]), ("minimize", ["+0", "-1", "-2"])])
def test_a_gain_is_positive_where_a_trial_is_better(direction: str, gains: list[str]) -> None:
    page = render_report(search_report(new_history(3, direction)))
    rows = re.findall(r'<tr id="trial.*?</tr>', page)
    assert [re.findall(r"<td[^>]*>([^<]*)", row)[2] for row in rows] == gains


def test_a_search_that_runs_awaits_values_and_tells_no_importance() -> None:
    history = new_history(4)
    history.trials.append(Trial(number=4, origin="search", values={}, epochs=3, state="running"))
    page = render_report(search_report(history, importance=False))
    assert 'class="dot valueless" data-trial="4"' in page
    assert 'class="cross"' not in page
    assert "Told when the search has ended" in page


def test_what_ends_alike_is_told_apart_and_metrics_are_told_whole() -> None:
    history = new_history(4)
    history.metric = "mAP@0.5"
    for name, key in (("rate", "optim.trunk.rate"), ("size", "optim.embedder.rate"), ("kind", "fit.kind")):
        for trial in history.trials:
            trial.values[key] = trial.values.pop(f"fit.{name}")
        next(one for one in history.space if one["key"] == f"fit.{name}")["key"] = key
    page = render_report(search_report(history))
    heads = re.findall(r'<button type="button" title="([^"]*)">([^<]*)', page)
    assert ("optim.trunk.rate", "trunk.rate") in heads
    assert ("optim.embedder.rate", "embedder.rate") in heads
    assert ("fit.kind", "kind") in heads
    assert ("mAP@0.5", "mAP@0.5") in heads
    assert "trunk.rate 0.1, embedder.rate 2, kind plain" in page


def test_many_axes_keep_their_size() -> None:
    history = new_history(4)
    assert '<svg class="wide"' not in render_report(search_report(history))
    history.space += [history.space[1] | {"key": f"fit.size{number}"} for number in range(9)]
    assert '<svg class="wide" width="1950"' in render_report(search_report(history))


@pytest.mark.parametrize(("low", "high"), [(0.987651, 0.987694), (0.0, 1.0), (-2e-7, 3e-7), (100000.0, 100003.0)])
def test_no_two_ticks_read_alike(low: float, high: float) -> None:
    said = [text for _, text in Axis(low, high).ticks()]
    assert len(said) > 2
    assert len(set(said)) == len(said)


def test_places_on_axes() -> None:
    assert Axis(1e-4, 1.0, log=True).place(1e-2) == pytest.approx(0.5)
    assert Axis(choices=("a", "b")).place("b") == 0.75
    assert Axis(choices=(False, 0)).place(0) == 0.75
    assert Axis(0, 10).place(20) == 1.0
    assert Axis(0, 10).place("x") is None
    assert Axis(0, 10).place(math.nan) is None
    alike = nice_range([3.0, 3.0])
    assert alike.low < 3.0 < alike.high
    assert len(nice_range([]).ticks()) > 1
    assert next(said for _, said in Axis(1e-5, 1.0, log=True).ticks()) == "1e-05"
