"""The benchmark's smoke form: wide margins, processor time and imported modules, never the clock on the wall."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tools.bench.input_pipeline import _measure, _new_cache
from tools.bench.pictures import make_classes
from tools.bench.processes import run_measured
from tools.bench.start import COMMANDS
from tools.bench.table import Row, markdown
from tools.bench.training import Task, train_product, train_reference
from tools.bench.validation import validation_rows

HEAVY = {"torch", "torchvision", "pytorch_lightning", "timm", "cv2", "boto3", "optuna", "pandas", "sklearn", "scipy"}
# Budgets are for a quiet machine and a warm disk; a test has neither.
_MARGIN = 5


def test_the_input_pipeline_beats_the_reference_by_far(tmp_path: Path) -> None:
    paths = sorted(make_classes(tmp_path / "images", 2, 4, 256, 256).rglob("*.jpg"))
    row = Row("input pipeline", "images/s", 6.0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        _measure(row, paths, 3, lambda: _new_cache(paths))
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)
    assert row.ratio > 2


def test_both_sides_train_and_tell_what_it_took(tmp_path: Path) -> None:
    images, few = make_classes(tmp_path / "train", 16, 8, 64, 64), make_classes(tmp_path / "val", 2, 1, 64, 64)
    task = Task(images, few, few, "resnet10t", 32, 8, steps=16)
    ours, theirs = train_product(task, 1), train_reference(task, 1)
    for trained in (ours, theirs):
        assert trained.steps == task.steps  # an epoch of this project has as many
        assert trained.start_s > 0
        # Each is sampled, one a moment after the other.
        assert 100 < trained.peak_mb <= trained.peak_resident_mb * 1.1
    assert ours.images_per_s > 0.3 * theirs.images_per_s


@pytest.mark.long
def test_both_sides_validate(tmp_path: Path) -> None:
    (row,) = validation_rows(tmp_path, 1, 1, images=80)
    assert row.ratio > 0.3


@pytest.mark.parametrize("name", ["--help", "schema train"])
def test_commands_stay_within_their_budget(name: str) -> None:
    words, milliseconds = COMMANDS[name]
    measured = run_measured([sys.executable, "-m", "tao_skill", *words])
    assert measured.cpu_s * 1000 < _MARGIN * milliseconds


@pytest.mark.parametrize("name", ["--help", "schema train"])
def test_commands_import_nothing_heavy(name: str) -> None:
    program = (
        "import json, sys\nfrom tao_skill.cli.main import main\ntry:\n    main(sys.argv[1:])\n"
        "except SystemExit:\n    pass\nprint(json.dumps(sorted({each.split('.')[0] for each in sys.modules})))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, *COMMANDS[name][0]], capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(json.loads(answer.stdout.splitlines()[-1]))


def test_the_table_tells_medians_ranges_and_what_is_reached() -> None:
    rate = Row("rate", "images/s", 2.0, ours=[10.0, 30.0, 20.0], theirs=[5.0, 5.0, 5.0])
    budget = Row("budget", "ms", 5.0, at_most=True, ours=[7.0])
    assert rate.ratio == 4.0
    assert rate.reached
    assert not budget.reached
    text = markdown([rate, budget])
    assert "| rate | 20 images/s | 5 | **4** (2 to 6) | ≥ 2 | yes |" in text
    assert "| budget | 7 ms |  | 7 to 7 | ≤ 5 | no |" in text
