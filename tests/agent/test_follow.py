"""Logs in pieces: bounded, and nothing of them is lost or told twice."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tao_skill.agent.call import call_tool
from tao_skill.agent.desk import Desk
from tao_skill.agent.follow import _files_below
from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.bank.skill import DEFAULT_SKILL
from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import JobStore
from tao_skill.run.search_files import save_history

TEXTS = {
    "long": b"".join(f"line {number} \xc3\xa4 {'x' * 80}\n".encode() for number in range(1600)),
    "no end": b"a\nb\nc",
    "one huge line": b"x" * 200_000,
    "bars": b"epoch 1\r 10%\r 100%\nepoch 2\r\n\n\n",
    "empty": b"",
    "no text": bytes(range(256)) * 10,
}


@pytest.fixture
def job(folder: Path) -> Path:
    where = folder / "results" / "j"
    (where / "train").mkdir(parents=True)
    JobStore(folder / "results").create(
        JobRecord(job_id="j", skill=DEFAULT_SKILL, action="train", results_dir=str(where))
    )
    return where / "train" / "log.txt"


def pages(first: dict[str, Any], desk: Desk) -> list[dict[str, Any]]:
    found = []
    arguments: dict[str, Any] | None = first
    while arguments is not None:
        page = call_tool("logs", arguments, desk).document
        found.append(page)
        assert len(page["lines"]) <= arguments.get("lines", 50)
        assert sum(map(len, page["lines"])) < 100_000
        arguments = page["next_call"]["arguments"] if page["next_call"] else None
        assert len(found) < 2000
    return found


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("lines", [7, 500])
def test_all_of_a_log_comes_in_pieces_both_ways(name: str, lines: int, job: Path, desk: Desk) -> None:
    text = TEXTS[name]
    job.write_bytes(text)
    back = pages({"job_id": "j", "lines": lines}, desk)[::-1]
    forth = pages({"job_id": "j", "lines": lines, "after": 0}, desk)
    for found in (back, forth):
        assert found[0]["start"] == 0
        assert found[-1]["end"] == found[-1]["size"] == len(text)
        assert all(one["end"] == two["start"] for one, two in pairwise(found))


def test_a_progress_bar_comes_as_its_last_state(job: Path, desk: Desk) -> None:
    job.write_bytes(TEXTS["bars"])
    assert call_tool("logs", {"job_id": "j"}, desk).document["lines"] == [" 100%", "epoch 2", "", ""]


def test_status_tells_the_trials_of_a_search(job: Path, desk: Desk) -> None:
    assert call_tool("status", {"job_id": "j"}, desk).document["jobs"][0]["progress"]["search"] is None
    history = SearchHistory(
        job_id="j", skill="s", skill_dir="d", algorithm="random", metric="score", direction="maximize", full_epochs=2,
        settings={"automl_max_recommendations": 5}, space=[], started_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    for number, state in enumerate(("complete", "complete", "failed", "running")):
        trial = Trial.model_validate(
            {"number": number, "job_id": f"j-t{number}", "origin": "search", "values": {}, "epochs": 2, "state": state}
        )
        history.add_report(trial, 2, 0.5 + number / 10)
        history.trials.append(trial)
    save_history(job.parent, history)
    found = call_tool("status", {"job_id": "j"}, desk).document["jobs"][0]["progress"]["search"]
    assert found["trials"] == {"complete": 2, "failed": 1, "running": 1}
    assert (found["most_trials"], found["baseline"], found["best"]) == (5, 0.5, 0.8)
    assert found["best_job_id"] == "j-t3"
    (job.parent / "search_history.json").write_text("{")
    assert call_tool("status", {"job_id": "j"}, desk).document["jobs"][0]["progress"]["search"] is None


def test_all_jobs_are_told_in_pages(desk: Desk, folder: Path) -> None:
    store = JobStore(folder / "results")
    names = [f"job-{number:03}" for number in range(7)]
    for number, name in enumerate(names):
        store.create(
            JobRecord(
                job_id=name, skill=DEFAULT_SKILL, action="train", results_dir=str(folder / "results" / name),
                created_at=f"2026-01-01T00:00:{number:02}Z",
            )
        )  # fmt: skip
    seen: list[str] = []
    arguments: dict[str, Any] | None = {"limit": 3}
    while arguments is not None:
        page = call_tool("status", arguments, desk).document
        assert page["total"] == len(names)
        seen += [job["job_id"] for job in page["jobs"]]
        assert len(seen) <= len(names)
        arguments = page["next_call"]["arguments"] if page["next_call"] else None
    assert seen == names[::-1]


def test_a_checkpoint_that_goes_while_files_are_listed_is_none(folder: Path) -> None:
    for name in "abc":
        (folder / "job" / name).mkdir(parents=True)
        (folder / "job" / f"{name}.pth").write_bytes(b"12")
    listed = _files_below(folder / "job")
    first = next(listed)
    for name in "abc":
        (folder / "job" / f"{name}.pth").unlink()
    assert first[1] == 2
    assert list(listed) == []
