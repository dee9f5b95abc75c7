"""Any number of images through an engine with limits."""

import numpy as np
import pytest

from tao_skill.metric_learning.engines.batches import Array, run_in_batches


@pytest.mark.parametrize(
    ("number", "smallest", "largest", "batches"),
    [(10, 1, 4, [4, 4, 2]), (10, 1, None, [10]), (9, 2, 4, [4, 4, 2]), (3, 5, 5, [5]), (4, 4, 4, [4]), (1, 1, 1, [1])],
)
def test_every_image_comes_back_in_order(number: int, smallest: int, largest: int | None, batches: list[int]) -> None:
    seen = []

    def run(images: Array) -> Array:
        seen.append(len(images))
        return images.reshape(len(images), -1)[:, :1] * 2

    images = np.arange(number, dtype=np.float32).reshape(number, 1, 1, 1)
    found = run_in_batches(images, run, smallest, largest)
    assert found[:, 0].tolist() == [2.0 * index for index in range(number)]
    assert seen == batches
