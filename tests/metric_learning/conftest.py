"""A tiny recognition task, and a spec that trains on it in seconds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

CLASSES = 6


def draw(label: int, number: int) -> Image.Image:
    """Return a 24-pixel picture: the class decides the colours and the stripes, the number the noise."""
    rng = np.random.default_rng([label, number])
    colour = np.random.default_rng(label).integers(40, 255, size=3)
    stripes = (np.arange(24) // (2 + label % 3) % 2)[:, None] if label % 2 else (np.arange(24) // 3 % 2)[None, :]
    pixels = colour[None, None, :] * (0.4 + 0.6 * stripes[..., None]) + rng.normal(0, 25, size=(24, 24, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def write_classes(root: Path, images: int, first: int, classes: int = CLASSES) -> Path:
    """Write a folder of class folders with so many images each."""
    for label in range(classes):
        folder = root / f"class_{label}"
        folder.mkdir(parents=True)
        for number in range(images):
            draw(label, first + number).save(folder / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def task(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folders of a tiny task: train, reference and query."""
    root = tmp_path_factory.mktemp("task")
    return {
        "train": write_classes(root / "train", 4, 0),
        "reference": write_classes(root / "reference", 1, 100),
        "query": write_classes(root / "query", 2, 200),
    }


@pytest.fixture
def spec(task: dict[str, Path]) -> dict[str, Any]:
    """Return flat settings for a small residual network on the tiny task."""
    return {
        "dataset.train_dataset": str(task["train"]),
        "dataset.val_dataset.reference": str(task["reference"]),
        "dataset.val_dataset.query": str(task["query"]),
        "dataset.workers": 0,
        "dataset.num_instance": 2,
        "dataset.gaussian_blur.enabled": False,
        "model.timm_name": "resnet10t",
        "model.input_width": 32,
        "model.input_height": 32,
        "model.feat_dim": 16,
        "train.batch_size": 8,
        "train.val_batch_size": 16,
        "train.num_epochs": 2,
        "train.precision": "fp32",
    }
