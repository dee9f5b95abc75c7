"""Feeds any number of images to an engine that takes batches within limits."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "run_in_batches"]

Array = NDArray[np.float32]


def run_in_batches(
    images: Array, run: Callable[[Array], Array], smallest: int = 1, largest: int | None = None
) -> Array:
    """Return the engine's output for every image, in order, (num_images, embed_dim).

    A batch above ``largest`` is split; a rest below ``smallest`` is filled up with zeros, whose results are dropped.
    """
    step = largest or max(len(images), 1)
    results = []
    for start in range(0, len(images), step):
        part = images[start : start + step]
        count = len(part)
        if count < smallest:
            part = np.concatenate([part, np.zeros((smallest - count, *part.shape[1:]), part.dtype)])
        results.append(run(part)[:count])
    return np.concatenate(results)
