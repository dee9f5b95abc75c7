"""A small checkpoint with an input that is wider than high, and what export makes of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tao_skill.config.keys import nest
from tao_skill.metric_learning.actions import run_action
from tao_skill.metric_learning.model.checkpoint import HEADER, header, save_atomically
from tao_skill.metric_learning.model.recogniser import ModelSettings, build_recogniser

SETTINGS = ModelSettings("resnet_50", "resnet10t", input_width=48, input_height=32, input_channels=3, feat_dim=16)
RECOGNITION = {"class_names": ["class_0", "class_1"], "rejection_threshold": 0.5}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint of an untrained network."""
    path = tmp_path_factory.mktemp("checkpoint") / "model_best.pth"
    own = header(
        model_name="small",
        model=SETTINGS.document(),
        transform={"pixel_mean": [0.5, 0.4, 0.3], "pixel_std": [0.2, 0.25, 0.3]},
        recognition=RECOGNITION,
        epoch=3,
        step=12,
        metrics={},
    )
    weights = {f"recogniser.{name}": value for name, value in build_recogniser(SETTINGS, seed=1).state_dict().items()}
    save_atomically({HEADER: own, "state_dict": weights}, path)
    return path


@pytest.fixture(scope="session")
def exported(checkpoint: Path, task: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the results of an export with an INT8 file beside it."""
    folder = tmp_path_factory.mktemp("exported")
    settings = {
        "export.checkpoint": str(checkpoint),
        "export.sample_images": str(task["query"]),
        "export.int8.enabled": True,
        "export.int8.reference": str(task["reference"]),
        "export.int8.query": str(task["query"]),
        "export.int8.max_precision_drop": 1.0,
    }
    results = run_action("export", nest(settings), results_dir=folder)
    return results | {"report": json.loads((folder / "export" / "export.json").read_text())}
