"""A search on a real Ray cluster of two nodes on this machine; one of them, or the search itself, is killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tao_skill.config.automl import AutoML
from tao_skill.errors import NotAvailableError, SpecError, UsageError
from tao_skill.jobs.record import JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.cancel import cancel_job
from tao_skill.run.cluster_needs import refuse_unshared
from tao_skill.run.make_plan import plan_run
from tao_skill.run.node_trial import run_here
from tao_skill.run.remote_jobs import MirroredJobStore
from tao_skill.run.request import RunRequest

ROOT = Path(__file__).parents[2]
TRIALS, EPOCHS = 6, 6
# In a process of its own: Ray leaves warnings, threads and sockets behind that are none of this project's.
CLUSTER = """
import os, sys
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
from ray.cluster_utils import Cluster

MEMORY = 80 * 2**20
head = {"num_cpus": 0, "object_store_memory": MEMORY, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=head)
nodes = [cluster.add_node(num_cpus=1, object_store_memory=MEMORY) for _ in range(2)]
print(cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(nodes.pop(), allow_graceful=False)
    print("one node less", flush=True)
cluster.shutdown()
"""


class Cluster:
    """Two nodes of one processor each, and a head that runs nothing."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self.address = self._answer()

    def kill_node(self) -> None:
        """Kill one of the nodes that are left, with all that runs there."""
        assert self.process.stdin is not None
        self.process.stdin.write("kill\n")
        self.process.stdin.flush()
        assert self._answer() == "one node less"

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    running = Cluster()
    yield running
    running.process.communicate(timeout=60)
    assert running.process.returncode == 0


def automl(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tao_skill", "automl", *words, "--json"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def document(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what a command printed, whatever it came to."""
    out, err = process.communicate(timeout=300)
    assert out, err[-3000:]
    found: dict[str, Any] = json.loads(out)
    return found


def begin(cluster: Cluster, tmp_path: Path, skill_dir: Path, *more: str) -> subprocess.Popen[str]:
    return automl(
        "run", "--skill", str(skill_dir), "--results-root", str(tmp_path / "results"),
        "--platform", "ray", "--ray-address", cluster.address, "--overrides", "seconds=0.5", f"fit.epochs={EPOCHS}",
        "--automl", "automl_algorithm=random", f"automl_max_recommendations={TRIALS}", "automl_max_concurrent=2",
        "automl_early_stopping=false", *more,
    )  # fmt: skip


def trials(tmp_path: Path) -> list[dict[str, Any]]:
    """Return the trials of the only search that the history knows of."""
    found = list((tmp_path / "results").glob("*/train/search_history.json"))
    return [trial for path in found for trial in json.loads(path.read_text())["trials"]]


def wait_for(tmp_path: Path, trial: int, epochs: int) -> list[list[Any]]:
    """Wait until a trial, counted from 1, has reported so many epochs; return what all have."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        found = [trial["reports"] for trial in trials(tmp_path)]
        if len(found) >= trial and len(found[trial - 1]) >= epochs:
            return found
        time.sleep(0.05)
    raise AssertionError("the search never came so far")


def check_nothing_lost(tmp_path: Path, before: list[list[Any]]) -> None:
    """All trials are complete, each report is there yet, and trials that broke off went on from checkpoints."""
    found = trials(tmp_path)
    assert [trial["state"] for trial in found] == ["complete"] * TRIALS
    for old, trial in zip(before, found, strict=False):
        assert all(report in trial["reports"] for report in old)
    for trial in found:
        assert [report["epoch"] for report in trial["reports"]] == list(range(1, EPOCHS + 1))
        lines = (tmp_path / "results" / trial["job_id"] / "train" / "status.json").read_text().splitlines()
        trained = [json.loads(line)["epoch"] for line in lines]
        assert trained.count(0) == 1
        assert len(trained) <= EPOCHS + 1  # no more is trained again than what had no checkpoint yet
    assert list((tmp_path / "results").rglob("*.pth"))


@pytest.mark.long
def test_a_search_on_a_cluster_whose_node_is_killed_loses_nothing_that_was_reported(
    cluster: Cluster, tmp_path: Path, skill_dir: Path
) -> None:
    process = begin(cluster, tmp_path, skill_dir)
    before = wait_for(tmp_path, 3, 2)
    cluster.kill_node()
    assert document(process)["status"] == "COMPLETE"
    assert [trial["number"] for trial in trials(tmp_path) if trial["attempts"] > 1]  # the killed node's trial
    check_nothing_lost(tmp_path, before)


@pytest.mark.long
def test_a_search_on_a_cluster_that_is_killed_itself_is_resumed_there(
    cluster: Cluster, tmp_path: Path, skill_dir: Path
) -> None:
    process = begin(cluster, tmp_path, skill_dir)
    before = wait_for(tmp_path, 3, 2)
    process.kill()
    process.communicate(timeout=30)
    job = next((tmp_path / "results").glob("*/train/search_history.json")).parent.parent.name
    resumed = document(automl("resume", job, "--results-root", str(tmp_path / "results")))
    assert resumed["status"] == "COMPLETE"
    check_nothing_lost(tmp_path, before)


@pytest.mark.long
def test_what_a_trial_waits_for_room_is_none_of_its_time(cluster: Cluster, tmp_path: Path, skill_dir: Path) -> None:
    limits = ("automl_max_concurrent=5", "automl_trial_timeout_minutes=0.15")
    assert document(begin(cluster, tmp_path, skill_dir, *limits))["status"] == "COMPLETE"
    assert {trial["state"] for trial in trials(tmp_path)} == {"complete"}  # the last ones waited longer than that


@pytest.mark.long
def test_a_trial_on_a_cluster_can_be_canceled(cluster: Cluster, tmp_path: Path, skill_dir: Path) -> None:
    process = begin(cluster, tmp_path, skill_dir)
    wait_for(tmp_path, 1, 1)
    first = trials(tmp_path)[0]["job_id"]
    cancel_job(JobStore(tmp_path / "results"), first)
    assert document(process)["status"] == "COMPLETE"
    canceled, *others = trials(tmp_path)
    assert (canceled["state"], canceled["failure"]["message"]) == ("failed", "its job was canceled")
    assert len(canceled["reports"]) < EPOCHS
    assert {trial["state"] for trial in others} == {"complete"}
    assert JobStore(tmp_path / "results").load(first).status == JobStatus.CANCELED


@pytest.mark.long
def test_a_search_whose_nodes_are_all_lost_says_so_and_ends_with_its_clock(
    cluster: Cluster, tmp_path: Path, skill_dir: Path
) -> None:
    process = begin(cluster, tmp_path, skill_dir, "automl_max_minutes=1.5", "automl_max_recommendations=50")
    wait_for(tmp_path, 3, 1)
    cluster.kill_node()
    cluster.kill_node()
    found = document(process)
    assert found["status"] == "COMPLETE"
    assert "wall clock" in found["search"]["end_reason"]
    log = next((tmp_path / "results").glob("*/train/search_history.json")).with_name("log.txt").read_text()
    assert "No node of the cluster can run a trial any more" in log


@pytest.mark.long
def test_what_no_node_can_give_is_told(cluster: Cluster, tmp_path: Path, skill_dir: Path) -> None:
    error = document(begin(cluster, tmp_path, skill_dir, "automl_trial_cpus=64"))["error"]
    assert "No node of the cluster has what a trial needs" in error["message"]


# Ray stays out of the tests' own process.
LOOK = """
import sys
from pathlib import Path
from tao_skill.automl.ray_cluster import check_nodes, connected
from tao_skill.errors import NotAvailableError

try:
    with connected(sys.argv[1]):
        check_nodes(1.0, 0.0, {"the results root": Path(sys.argv[2]), "the skill's folder": Path(sys.argv[3])})
except NotAvailableError as error:
    print(sorted({(one.value, one.expected) for one in error.problems}))
"""


@pytest.mark.long
def test_a_skill_that_nodes_do_not_have_is_told_before_anything_runs(cluster: Cluster, tmp_path: Path) -> None:
    there, nowhere = tmp_path / "there", tmp_path / "nowhere"
    there.touch()
    words = [sys.executable, "-c", LOOK, cluster.address, str(there), str(nowhere)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == str([(str(nowhere), "the skill's folder under the same path")])


def test_without_a_cluster_the_message_says_how_to_start_one(tmp_path: Path, skill_dir: Path) -> None:
    process = automl(
        "run", "--skill", str(skill_dir), "--platform", "ray", "--ray-address", "127.0.0.1:1",
        "--results-root", str(tmp_path / "r"),
    )  # fmt: skip
    assert "ray start --head" in document(process)["error"]["next_step"]
    assert process.returncode == NotAvailableError.exit_code


def test_without_ray_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from tao_skill.automl.ray_cluster import connected

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(NotAvailableError, match=r"\[automl,ray\]"), connected("auto"):
        pass


def test_only_a_search_runs_on_a_cluster(tmp_path: Path, skill_dir: Path) -> None:
    asked = RunRequest(
        action="train", skill=str(skill_dir), results_root=str(tmp_path / "results"), automl_policy="off",
        automl=[{"automl_platform": "ray"}],
    )  # fmt: skip
    with pytest.raises(UsageError, match="Only a search"):
        plan_run(asked)


def test_what_nodes_cannot_share_is_refused_however_the_cluster_is_asked_for(
    tmp_path: Path, skill_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tao_skill.run.make_plan.open_store", lambda _: MirroredJobStore("s3://bucket/results", tmp_path)
    )
    asked = RunRequest(action="train", skill=str(skill_dir), overrides=["automl_platform=ray"])
    with pytest.raises(SpecError, match="Ray cluster can't share"):
        plan_run(asked)


def test_what_nodes_cannot_share_is_refused(tmp_path: Path) -> None:
    settings = AutoML(automl_platform="ray")
    with pytest.raises(SpecError) as caught:
        refuse_unshared(
            settings, MirroredJobStore("s3://bucket/results", tmp_path), {"data": ["https://h/a.tar?sig=secret"]}
        )
    assert [problem.key for problem in caught.value.problems] == ["--results-root", "data"]
    assert "sig=secret" not in str(caught.value)
    refuse_unshared(settings, JobStore(tmp_path), {"data": ["s3://bucket/a.tar", "/data"]})


def test_a_node_says_what_it_cannot_bring_here(tmp_path: Path) -> None:
    from tao_skill.errors import SkillError

    spec = tmp_path / "spec.yaml"
    spec.write_text("{}")
    with pytest.raises(SkillError):
        run_here(spec, str(tmp_path / "nowhere"))
    assert json.loads((tmp_path / "error.json").read_text())["code"] == "skill_error"
