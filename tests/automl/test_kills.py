"""What a search loses when something is killed; prints a table: pytest -m long tests/automl/test_kills.py -s."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tao_skill.jobs.identity import is_alive, process_start_time
from tao_skill.jobs.record import JobStatus
from tao_skill.run.launch_search import resume_search
from tao_skill.run.request import RunRequest
from tao_skill.run.results_root import open_store
from tao_skill.run.search_history import load_history

ROOT = Path(__file__).parents[2]
RUNNER = """
import sys
from tao_skill.run.request import RunRequest
from tao_skill.run.runner import run
print(run(RunRequest.model_validate_json(sys.argv[1])).status)
"""
TRIALS, EPOCHS, EPOCH_SECONDS = 3, 4, 0.3
HALF_LINE = b'{"half a li'

pytestmark = pytest.mark.long


class Search:
    """A search of three trials in a process of its own."""

    def __init__(self, folder: Path, skill_dir: Path) -> None:
        self.folder = folder / "results"
        asked = RunRequest(
            action="train", skill=str(skill_dir), results_root=str(self.folder), overrides=[f"seconds={EPOCH_SECONDS}"],
            automl=[{"automl_algorithm": "random", "automl_max_recommendations": TRIALS,
                     "automl_max_concurrent": 1, "automl_early_stopping": False}],
        )  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, asked.model_dump_json()], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self.job = ""
        self.hanging: tuple[int | None, str | None] = None, None

    def wait_for(self, trial: int, epoch: int) -> None:
        """Wait until a trial, counted from 1, has reported an epoch."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            for path in self.folder.glob("*/train/search_history.json"):
                found = json.loads(path.read_text())["trials"]
                if len(found) >= trial and len(found[trial - 1]["reports"]) >= epoch:
                    self.job = path.parent.parent.name
                    return
            time.sleep(0.02)
        raise AssertionError("the search never came so far")

    def trial_folder(self, number: int) -> Path:
        """Return where a trial writes."""
        return self.folder / f"{self.job}-t{number:03d}" / "train"

    def reported(self) -> dict[int, set[int]]:
        """Return the epochs of each trial that the history knows of."""
        history = load_history(open_store(str(self.folder)).load(self.job))
        return {trial.number: {one.epoch for one in trial.reports} for trial in history.trials}

    def kill_run(self) -> None:
        """Kill the search; its worker ends by itself."""
        self.process.kill()
        self.process.communicate(timeout=30)

    def worker(self) -> int:
        """Return the number of the process that trains."""
        newest = max(self.folder.glob(f"{self.job}-t*/train/pids"), key=lambda path: path.stat().st_mtime)
        return int(newest.read_text().split()[-1])

    def kill_worker(self) -> None:
        """Kill the process that trains."""
        os.killpg(self.worker(), signal.SIGKILL)

    def kill_run_of_hanging(self) -> None:
        """Kill the search, while the process that trains hangs and doesn't see it."""
        worker = self.worker()
        os.killpg(worker, signal.SIGSTOP)
        self.kill_run()
        jobs = [json.loads(path.read_text()) for path in self.folder.glob(f"{self.job}-t*/job.json")]
        if any(job["status"] == "RUNNING" for job in jobs):  # else it was between two trials
            self.hanging = worker, process_start_time(worker)
        else:
            os.killpg(worker, signal.SIGKILL)

    def kill_all(self) -> None:
        """Kill both at once."""
        self.process.kill()
        self.kill_worker()
        self.process.communicate(timeout=30)

    def kill_in_writes(self) -> None:
        """Kill both, and leave half a line in each file that is appended to, and half a file of each kind."""
        self.kill_all()
        for path in self._appended():
            with path.open("ab") as file:
                file.write(HALF_LINE)
        for path in self.folder.glob("*/train/search_history.json"):
            path.with_name(f".{path.name}.part").write_bytes(path.read_bytes()[:40])

    def cut_power(self) -> None:
        """Kill both, and take away what the disk may not have had: the unsynced end of each appended file."""
        self.kill_all()
        for path in self._appended():
            lines = path.read_bytes().splitlines(keepends=True)
            path.write_bytes(b"".join(lines[:-2]) + lines[-1][: len(lines[-1]) // 2])

    def _appended(self) -> list[Path]:
        journal = self.folder / self.job / "train" / "optuna_journal.jsonl"
        newest = max(self.folder.glob(f"{self.job}-t*/train/status.json"), key=lambda path: path.stat().st_mtime)
        return [journal, newest]


@pytest.fixture(scope="module")
def rows() -> Iterator[list[str]]:
    found: list[str] = []
    yield found
    print("\n| killed | when | reports lost | epochs trained twice |\n|---|---|---|---|")
    print("\n".join(found))


KILLS: dict[str, Callable[[Search], None]] = {
    "the run": Search.kill_run,
    "a worker": Search.kill_worker,
    "the run, while its worker hangs": Search.kill_run_of_hanging,
    "run and worker": Search.kill_all,
    "both, in the middle of writes": Search.kill_in_writes,
    "the machine, last writes lost": Search.cut_power,
}


@pytest.mark.parametrize("what", KILLS)
@pytest.mark.parametrize("when", [(1, 1), (2, 3), (3, 2), "anywhere"], ids=str)
def test_table_of_kills(
    tmp_path: Path, skill_dir: Path, rows: list[str], what: str, when: tuple[int, int] | str
) -> None:
    """Whatever is killed, whenever: no report is lost, and no more is trained again than what had no checkpoint."""
    search = Search(tmp_path, skill_dir)
    if isinstance(when, str):
        search.wait_for(1, 1)
        time.sleep(random.Random(what).uniform(0, TRIALS * EPOCHS * EPOCH_SECONDS))
    else:
        search.wait_for(*when)
    KILLS[what](search)
    before = search.reported()
    if what == "a worker":
        out, _ = search.process.communicate(timeout=200)
        assert out.strip() == "COMPLETE"  # tried again without anybody's help
    else:
        resumed = resume_search(open_store(str(search.folder)), search.job)
        assert resumed.status == JobStatus.COMPLETE
    after = search.reported()
    lost = sum(len(epochs - after[number]) for number, epochs in before.items())
    twice = sum(max(0, sum(Counter(epochs_of(search.trial_folder(n))).values()) - EPOCHS) for n in range(TRIALS))
    rows.append(
        f"| {what} | {when if isinstance(when, str) else 'trial {}, epoch {}'.format(*when)} | {lost} | {twice} |"
    )
    assert lost == 0
    assert after == {number: set(range(1, EPOCHS + 1)) for number in range(TRIALS)}
    assert twice <= 1
    history = load_history(open_store(str(search.folder)).load(search.job))
    assert [trial.state for trial in history.trials] == ["complete"] * TRIALS
    assert not is_alive(*search.hanging)  # no two train in one folder


def epochs_of(folder: Path) -> list[int]:
    """Return the epochs in a trial's status lines; a line that a kill cut off counts for none."""
    found = []
    for line in (folder / "status.json").read_text().splitlines():
        try:
            found.append(json.loads(line)["epoch"])
        except ValueError:
            continue
    return found
