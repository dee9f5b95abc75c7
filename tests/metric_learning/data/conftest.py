"""Tiny image trees, made on the fly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tao_skill.metric_learning.data.image_set import ImageSet, image_set

TreeMaker = Callable[..., Path]
SetMaker = Callable[..., ImageSet]


def draw_picture(seed: int, width: int = 12, height: int = 10) -> NDArray[np.uint8]:
    """Return a smooth random RGB picture ``(height, width, 3)``."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture
def picture() -> Callable[..., NDArray[np.uint8]]:
    """Give `draw_picture`."""
    return draw_picture


@pytest.fixture
def make_tree(tmp_path: Path) -> TreeMaker:
    """Give a function that makes ``<name>/<class>/<i>.png`` from class names and numbers of images."""

    def make(name: str, counts: Mapping[str, int], suffix: str = ".png") -> Path:
        root = tmp_path / name
        root.mkdir()
        for number, (folder, count) in enumerate(counts.items()):
            (root / folder).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(draw_picture(100 * number + i)).save(root / folder / f"{i}{suffix}")
        return root

    return make


@pytest.fixture
def make_set() -> SetMaker:
    """Give a function that makes an ImageSet of paths that don't exist."""

    def make(counts: Mapping[str, int], key: str = "dataset.train_dataset") -> ImageSet:
        root = Path("/nowhere") / key
        named = [(name, root / name / f"{i}.png") for name, count in counts.items() for i in range(count)]
        return image_set(root, key, named)

    return make
