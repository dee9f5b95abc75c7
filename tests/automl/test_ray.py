"""A search on a real Ray cluster of two worker nodes on this machine, one of them killed in the middle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tao_skill.config.automl import AutoML
from tao_skill.errors import NotAvailableError, SpecError, UsageError
from tao_skill.jobs.store import JobStore
from tao_skill.run.cluster_needs import refuse_unshared
from tao_skill.run.make_plan import plan_run
from tao_skill.run.node_trial import run_here
from tao_skill.run.remote_jobs import MirroredJobStore
from tao_skill.run.request import RunRequest

ROOT = Path(__file__).parents[2]
# In a process of its own: Ray leaves warnings, threads and sockets behind that are none of this project's.
SEARCH = """
import json, os, sys, threading, time
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
from pathlib import Path
from ray.cluster_utils import Cluster
from tao_skill.run.request import RunRequest
from tao_skill.run.runner import run

MEMORY = 80 * 2**20
asked, root, kill = RunRequest.model_validate_json(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "kill"
head = {"num_cpus": 0, "object_store_memory": MEMORY, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=head)
nodes = [cluster.add_node(num_cpus=1, object_store_memory=MEMORY) for _ in range(2)]
cluster.wait_for_nodes()
asked.automl.append({"automl_platform": "ray", "automl_ray_address": cluster.address})
told = {}

def kill_one():
    end = time.monotonic() + 120
    while time.monotonic() < end:
        for path in root.glob("*/train/search_history.json"):
            trials = json.loads(path.read_text())["trials"]
            if len(trials) >= 3 and len(trials[2]["reports"]) >= 2:
                told["before"] = [trial["reports"] for trial in trials]
                cluster.remove_node(nodes[1], allow_graceful=False)
                told["killed"] = True
                return
        time.sleep(0.05)

if kill:
    threading.Thread(target=kill_one, daemon=True).start()
result = run(asked)
print(json.dumps({"status": result.status, "job_id": result.job_id, "search": result.search, **told}))
cluster.shutdown()
"""


def request(tmp_path: Path, skill_dir: Path, *overrides: str, **settings: Any) -> RunRequest:
    defaults = {"automl_algorithm": "random", "automl_max_recommendations": 6, "automl_max_concurrent": 2,
                "automl_early_stopping": False}  # fmt: skip
    return RunRequest(
        action="train", skill=str(skill_dir), results_root=str(tmp_path / "results"), overrides=list(overrides),
        automl=[defaults | settings],
    )  # fmt: skip


def search(tmp_path: Path, asked: RunRequest, kill: str = "") -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SEARCH, asked.model_dump_json(), str(tmp_path / "results"), kill or "no"],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.long
def test_a_search_on_a_cluster_whose_node_is_killed_loses_nothing_that_was_reported(
    tmp_path: Path, skill_dir: Path
) -> None:
    found = search(tmp_path, request(tmp_path, skill_dir, "seconds=0.5", "fit.epochs=6"), "kill")
    assert found["status"] == "COMPLETE"
    assert found["killed"]
    history = json.loads(Path(found["search"]["history"]).read_text())
    assert [trial["state"] for trial in history["trials"]] == ["complete"] * 6
    again = [trial["number"] for trial in history["trials"] if trial["attempts"] > 1]
    assert again  # the killed node's trial
    for before, trial in zip(found["before"], history["trials"], strict=False):
        assert all(report in trial["reports"] for report in before)
        assert [report["epoch"] for report in trial["reports"]] == [1, 2, 3, 4, 5, 6]
    for number in again:
        folder = tmp_path / "results" / history["trials"][number]["job_id"] / "train"
        epochs = [json.loads(line)["epoch"] for line in (folder / "status.json").read_text().splitlines()]
        assert epochs[0] == 0
        assert epochs.count(0) == 1  # it went on from its checkpoint, not from zero
    assert list((tmp_path / "results").rglob("*.pth"))


@pytest.mark.long
def test_what_no_node_can_give_is_told(tmp_path: Path, skill_dir: Path) -> None:
    with pytest.raises(AssertionError, match="No node of the cluster has what a trial needs"):
        search(tmp_path, request(tmp_path, skill_dir, automl_trial_cpus=64))


def test_without_a_cluster_the_message_says_how_to_start_one(tmp_path: Path, skill_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tao_skill", "automl", "run", "--skill", str(skill_dir), "--platform", "ray",
         "--ray-address", "127.0.0.1:1", "--results-root", str(tmp_path / "r"), "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == NotAvailableError.exit_code, done.stderr
    assert "ray start --head" in json.loads(done.stdout)["error"]["next_step"]


def test_without_ray_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from tao_skill.automl.ray_cluster import connected

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(NotAvailableError, match=r"tao-skill\[automl,ray\]"), connected("auto"):
        pass


def test_only_a_search_runs_on_a_cluster(tmp_path: Path, skill_dir: Path) -> None:
    asked = request(tmp_path, skill_dir, automl_platform="ray").model_copy(update={"automl_policy": "off"})
    with pytest.raises(UsageError, match="Only a search"):
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
