"""How many trials run at once where the settings leave it open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tao_skill.config.automl import AutoML
from tao_skill.run import at_once
from tao_skill.run.preflight import Gpu


@pytest.mark.parametrize(
    ("settings", "spec", "machine", "expected"),
    [
        ({}, {}, (2, 20.0), 2),
        ({}, {}, (1, 20.0), 1),
        ({}, {}, (64, 500.0), 4),
        ({}, {}, (8, 9.0), 2),  # memory for two
        ({}, {}, (8, 1.0), 1),
        ({}, {}, (8, None), 4),  # a system that doesn't tell
        ({}, {"train.cpu_processes": 4}, (8, 100.0), 2),
        ({"automl_max_recommendations": 1}, {}, (8, 100.0), 1),  # one training gets all processors
        ({"automl_max_concurrent": 3}, {}, (1, 1.0), 3),  # who asks for it gets it
        ({"automl_platform": "ray"}, {}, (8, 100.0), None),
    ],
)
def test_without_a_gpu_processors_and_memory_decide(
    monkeypatch: pytest.MonkeyPatch,
    settings: Mapping[str, Any],
    spec: Mapping[str, Any],
    machine: tuple[int, float | None],
    expected: int | None,
) -> None:
    processors, free = machine
    monkeypatch.setattr(at_once, "read_gpus", list)
    monkeypatch.setattr(at_once, "usable_processors", lambda: processors)
    monkeypatch.setattr(at_once, "free_memory_gb", lambda: free)
    assert at_once.trials_at_once(AutoML(**settings), spec) == expected


def test_on_a_gpu_one_trial_runs_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_once, "read_gpus", lambda: [Gpu(index=0, name="some", memory_gb=16.0)] * 2)
    assert at_once.trials_at_once(AutoML(), {}) == 1
