"""The batches of a training."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tao_skill.config.keys import nest
from tao_skill.metric_learning.actions import run_action
from tao_skill.metric_learning.data.image_set import image_set
from tao_skill.metric_learning.data.sampler import PKBatchSampler
from tao_skill.metric_learning.training.data import unseen_warning


def test_images_that_a_training_never_sees_are_named() -> None:
    counts = {"large": 20, "small": 4, "tiny": 2}
    pairs = [(name, Path(f"/data/{name}/{i}.png")) for name, count in counts.items() for i in range(count)]
    images = image_set(Path("/data"), "dataset.train_dataset", pairs)
    sampler = PKBatchSampler(np.asarray(images.labels), 4, 2, seed=0)
    warning = unseen_warning(images, sampler, epochs=1)
    assert "dataset.train_dataset" in warning
    assert "large (1" in warning
    assert "small" not in warning.partition("sees all")[2]
    enough = sampler.epochs_to_see_all()
    assert f"train.num_epochs = {enough} sees all" in warning
    assert unseen_warning(images, sampler, epochs=enough) == ""
    assert unseen_warning(images, sampler, epochs=enough - 1) != ""


def test_training_warns_of_them(spec: dict[str, Any], task: dict[str, Path], tmp_path: Path) -> None:
    for folder in task["train"].iterdir():
        (tmp_path / "train" / folder.name).mkdir(parents=True)
        for number, file in enumerate(sorted(folder.iterdir())):
            for copy in range(8 if folder.name == "class_0" else 1):
                (tmp_path / "train" / folder.name / f"{number}_{copy}.png").write_bytes(file.read_bytes())
    changes = {"dataset.train_dataset": str(tmp_path / "train"), "train.num_epochs": 1}
    result = run_action("train", nest(spec | changes), results_dir=tmp_path / "run")
    assert any("never seen in 1 epoch," in warning and "class_0" in warning for warning in result["warnings"])
    stored = json.loads((tmp_path / "run" / "train" / "results.json").read_text())
    assert stored["warnings"] == result["warnings"]
