"""The demo, and what it prints."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools.demo import Row, StepFailedError, Steps, table
from tools.demo_data.layout import DATA_SET
from tools.demo_data.tasks import tasks

ROOT = Path(__file__).resolve().parents[2]


def test_table_has_a_line_for_each_data_set() -> None:
    task = tasks(quick=True)[0]
    row = Row(task, (0.25, 0.5), (0.754, 0.7), 185.4, Path(".demo/results/retail"), [])
    lines = table([row]).splitlines()
    assert lines[2] == "| retail products | 0.25 / 0.50 | 0.75 / 0.70 | 3 min 5 s | `.demo/results/retail` |"
    assert len({line.count("|") for line in lines}) == 1


def test_a_failing_step_stops_the_demo_with_its_error_and_exit_code(tmp_path: Path) -> None:
    steps = Steps(tasks(quick=True)[1], tmp_path, tmp_path / "no-such-weights.pth")
    with pytest.raises(StepFailedError, match=r"no-such-weights\.pth") as caught:
        steps.run()
    assert caught.value.exit_code > 1


@pytest.mark.long
def test_quick_demo_ends_with_a_table(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.demo", "--quick", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    written = (tmp_path / "table.md").read_text()
    assert written in done.stdout
    assert written.count("\n") == 4
    assert done.stderr.count("-m tao_skill run train ") == 2
    for name in ("retail", "digits"):
        assert (tmp_path / "data" / name / DATA_SET / "known_classes" / "train.tar.gz").is_file()
        assert (tmp_path / f"recognised_{name}.png").is_file()
        jobs = [json.loads(path.read_text()) for path in (tmp_path / "results" / name).glob("*/job.json")]
        assert sorted(job["action"] for job in jobs) == ["evaluate"] * 4 + ["inference", "train"]
        assert {job["status"] for job in jobs} == {"COMPLETE"}
