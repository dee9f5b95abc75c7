"""Replay the calls that a skill's evals expect, against the real program.

python -m tools.evals            print the table that BENCHMARK.md holds
python -m tools.evals --calls    print every call with what came back
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tao_skill.agent.call import call_tool
from tao_skill.agent.desk import Desk
from tao_skill.automl.history import Report, SearchHistory, Trial
from tao_skill.bank.skill import DEFAULT_SKILL, find_skill
from tao_skill.config.automl import AutoML
from tao_skill.jobs.identity import process_start_time
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.detach import stop_runner
from tao_skill.run.search_files import save_history

__all__ = ["Replayed", "end_jobs", "prepare", "read_evals", "replay"]

ROOT = Path(__file__).resolve().parents[1]
_TABLE = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"
_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGM4IacBAALAAQ/aQIG5AAAAAElFTkSuQmCC"
)
_METRIC = "val Precision at Rank 1"
_GRACE_SECONDS = 20.0
_NOTHING = "(not there)"
_STEP = re.compile(r"(?:[^.\\]|\\.)+")


@dataclass(frozen=True)
class Replayed:
    """One call of one eval: what was asked, what came back, and how that differs from what was expected."""

    eval_id: str
    tool: str
    arguments: dict[str, Any]
    reply: dict[str, Any]
    differences: list[str]


def read_evals(skill: str) -> list[dict[str, Any]]:
    """Return the evals of a skill."""
    document = json.loads((ROOT / "skills" / skill / "evals" / "evals.json").read_text(encoding="utf-8"))
    evals: list[dict[str, Any]] = document["evals"]
    return evals


def prepare(folder: Path) -> Desk:
    """Make what the evals speak of in a folder: `data`, jobs PARENT, FAILED and BUSY, searches SEARCH and BROKEN."""
    for name in ("known_classes", "unknown_classes"):
        for part in ("train", "reference", "val", "test"):
            for kind in ("cat", "dog"):
                images = folder / "data" / _TABLE / name / f"{part}.tar.gz" / kind
                images.mkdir(parents=True)
                for number in range(4):
                    (images / f"{number}.png").write_bytes(_PIXEL)
    store = JobStore(folder / "results")
    _make_searches(store)
    for job_id, status in (("PARENT", JobStatus.COMPLETE), ("FAILED", JobStatus.ERROR)):
        where = folder / "results" / job_id
        (where / "train").mkdir(parents=True)
        (where / "train" / "model_epoch_000_step_00001.pth").write_bytes(b"\x80\x02weights")
        (where / "train" / "log.txt").write_text("epoch 1/1\n", encoding="utf-8")
        record = JobRecord(job_id=job_id, skill=DEFAULT_SKILL, action="train", results_dir=str(where))
        store.create(record)
        store.update(job_id, status=JobStatus.RUNNING)
        wrong = {"code": "data_error", "message": "The training set has one class.", "problems": [], "next_step": ""}
        ended: dict[str, Any] = {"metrics": {_METRIC: 0.5}} if status == JobStatus.COMPLETE else {"error": wrong}
        store.update(job_id, status=status, **ended)
    _make_running(store, "BUSY")
    return Desk.of([str(folder)])


def _make_running(store: JobStore, job_id: str) -> None:
    """Make a job that a process of its own works on, for ten minutes at most."""
    where = store.folder(job_id)
    (where / "train").mkdir(parents=True)
    store.create(JobRecord(job_id=job_id, skill=DEFAULT_SKILL, action="train", results_dir=str(where)))
    begin = ["sh", "-c", "setsid sleep 600 > /dev/null 2>&1 & echo $!"]
    pid = int(subprocess.run(begin, capture_output=True, text=True, check=True).stdout)
    started = process_start_time(pid)
    store.update(job_id, status=JobStatus.RUNNING, pid=pid, process_start_time=started)


def _make_searches(store: JobStore) -> None:
    """Make a search that is complete, with its trials, and one that broke off."""
    for search, status in (("SEARCH", JobStatus.COMPLETE), ("BROKEN", JobStatus.ERROR)):
        trials = [f"{search}-t{number:03d}" for number in range(2)]
        for job_id in (search, *trials):
            where = store.folder(job_id)
            (where / "train").mkdir(parents=True)
            parent = None if job_id == search else search
            store.create(
                JobRecord(
                    job_id=job_id, skill=DEFAULT_SKILL, action="train", results_dir=str(where), parent_job=parent
                )
            )  # fmt: skip
            store.update(job_id, status=JobStatus.RUNNING)
        for number, job_id in enumerate(trials):
            (store.folder(job_id) / "train" / "model_epoch_000_step_00001.pth").write_bytes(b"\x80\x02weights")
            store.update(job_id, status=JobStatus.COMPLETE, metrics={_METRIC: 0.4 + 0.1 * number})
        history = SearchHistory(
            job_id=search, skill=DEFAULT_SKILL, skill_dir=str(find_skill().directory), algorithm="bayesian",
            metric=_METRIC, direction="maximize", full_epochs=1, settings=asdict(AutoML()), space=[],
            started_at="2026-01-01T00:00:00Z", winner=1,
            state="ended" if status == JobStatus.COMPLETE else "interrupted", trials=[
                Trial(
                    number=number, job_id=job_id, origin="baseline", values={}, epochs=1, state="complete",
                    reports=[Report(epoch=1, value=0.4 + 0.1 * number)], best_value=0.4 + 0.1 * number, best_epoch=1,
                )
                for number, job_id in enumerate(trials)
            ],
            final_evaluation={"status": "skipped", "reason": "no data of evaluate were given"},
        )  # fmt: skip
        save_history(store.folder(search) / "train", history)
        store.update(search, status=status, best_child=trials[1], metrics={_METRIC: 0.5})


def replay(evaluated: dict[str, Any], desk: Desk) -> Iterator[Replayed]:
    """Make each expected call and compare what comes back; the working folder is the one that was prepared."""
    for expected in evaluated["expected_calls"]:
        reply = call_tool(expected["tool"], expected["arguments"], desk)
        error = reply.document["error"]["code"] if reply.failed else None
        differences = []
        if error != expected.get("error"):
            differences.append(f"error {error!r} instead of {expected.get('error')!r}")
        else:
            differences = [
                f"{path} is {_at(reply.document, path)!r}, not {value!r}"
                for path, value in expected.get("expect", {}).items()
                if _at(reply.document, path) != value
            ]
        yield Replayed(evaluated["id"], expected["tool"], expected["arguments"], reply.document, differences)


def end_jobs(desk: Desk) -> None:
    """Cancel what the replayed calls started, also what has not begun yet."""
    for job in call_tool("status", {"limit": 100}, desk).document["jobs"]:
        call_tool("cancel", {"job_id": job["job_id"]}, desk)
        stop_runner(desk.store(None), job["job_id"], _GRACE_SECONDS)


def _at(document: Any, path: str) -> Any:
    """Return what stands at a path such as jobs.0.status; of one that isn't there, a text that says so.

    A dot inside a name is written with a backslash.
    """
    for step in _STEP.findall(path):
        name = step.replace("\\.", ".")
        try:
            document = document[int(name)] if isinstance(document, list) else document[name]
        except (KeyError, IndexError, TypeError, ValueError):
            return _NOTHING
    return document


def main() -> int:
    """Replay all evals and print a table; return 1 where a call went another way."""
    failed = 0
    print("| skill | evals that trigger | near misses | calls | as expected |\n|---|---|---|---|---|")
    for skill in sorted(path.parents[1].name for path in ROOT.glob("skills/*/evals/evals.json")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            os.chdir(folder)
            desk = prepare(folder)
            evals = read_evals(skill)
            done = [one for evaluated in evals for one in replay(evaluated, desk)]
            end_jobs(desk)
            os.chdir(ROOT)
        good = sum(not one.differences for one in done)
        failed += len(done) - good
        triggers = sum(one["should_trigger"] for one in evals)
        print(f"| {skill} | {triggers} | {len(evals) - triggers} | {len(done)} | {good} |")
        for one in done if "--calls" in sys.argv else [one for one in done if one.differences]:
            print(f"{one.eval_id}: {one.tool} {json.dumps(one.arguments)} -> {json.dumps(one.reply)[:400]}")
            print("".join(f"  {difference}\n" for difference in one.differences), end="")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
