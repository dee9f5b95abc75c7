"""The INT8 file for CPUs: value ranges, and layers that stay float where INT8 throughout would lose too much."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

from tao_skill.config.deploy import Int8
from tao_skill.metric_learning.data.check import CheckedRetrieval
from tao_skill.metric_learning.data.load import load_evaluation_sets
from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.export.int8_gate import Int8Report
from tao_skill.metric_learning.export.quantise import CPU, measure_ranges, quantise
from tao_skill.metric_learning.export.samples import filled_batches, spread
from tao_skill.metric_learning.export.sensitivity import rank_by_sensitivity
from tao_skill.metric_learning.progress import Progress

__all__ = ["Int8Maker", "find_int8", "load_gate_sets"]

log = logging.getLogger(__name__)
_BATCH, _RANKING_IMAGES = 16, 32
_KEYS = ("export.int8.reference", "export.int8.query")


def load_gate_sets(settings: Int8) -> CheckedRetrieval:
    """Read and check the images on which the INT8 file is made and judged.

    Raises:
        DataError: with all problems.
    """
    progress = Progress("images checked")
    sets = load_evaluation_sets(settings.reference, settings.query, topk=1, progress=progress, keys=_KEYS)
    count = len(sets.query or ())
    if settings.max_precision_drop and 1 / count > settings.max_precision_drop:
        sets.warnings.append(
            f"One of {count} queries is {1 / count:.4f} of precision at rank 1, more than "
            f"export.int8.max_precision_drop = {settings.max_precision_drop}: more queries would tell more."
        )
    return sets


class Int8Maker:
    """Makes INT8 models for CPUs of one float model; ``batch`` is the model's, if it is fixed."""

    def __init__(
        self, model: Any, sets: CheckedRetrieval, num_images: int, transform: EvalTransform, batch: int | None
    ) -> None:
        """Measure value ranges on reference images."""
        self._model, self._transform = model, transform
        self._paths = spread(sets.reference.paths, num_images)
        self._ranking_batch = batch or min(_RANKING_IMAGES, len(self._paths))
        log.info("Value ranges are measured on %d reference images.", len(self._paths))
        batches = (images.numpy() for images in filled_batches(self._paths, transform, batch or _BATCH))
        self._ranges = measure_ranges(model, batches, CPU)

    def quantised(self, float_layers: list[str]) -> Any:
        """Return the model with INT8 weights and activations; ``float_layers`` names nodes that stay as they are."""
        return quantise(self._model, self._ranges, CPU, exclude=float_layers)

    def ranked(self) -> list[str]:
        """Return the names of convolutions and matrix products, the most sensitive first."""
        count = self._ranking_batch
        images = next(filled_batches(spread(self._paths, count), self._transform, count)).numpy()
        return rank_by_sensitivity(self._model, self._ranges, CPU, images)


def find_int8(
    maker: Int8Maker, judge: Callable[[Any], Int8Report], settings: Int8
) -> Iterator[tuple[list[str], Int8Report]]:
    """Judge INT8 models until one loses little enough; yield each one's float layers, and what was found.

    The first has none of them float; then 1, 2, 4 … of the most sensitive are, up to max_float_layers.
    """
    most, allowed = settings.max_float_layers, settings.max_precision_drop
    chosen: list[str] = []
    ranked: list[str] | None = None
    while True:
        report = judge(maker.quantised(chosen))
        log.info("INT8 with %d float layers: precision at rank 1 falls by %.4f.", len(chosen), report.drop)
        yield chosen, report
        if report.within(allowed) or len(chosen) >= most:
            return
        ranked = maker.ranked() if ranked is None else ranked
        if len(chosen) == len(ranked):
            return
        chosen = ranked[: min(max(2 * len(chosen), 1), most)]
