"""Compares a model that was quantised for TensorRT with the one it came from, on the CPU, before an engine is built."""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from tao_skill.errors import JobError, Problem
from tao_skill.metric_learning.embed import embed_images
from tao_skill.metric_learning.engines.extras import import_extra
from tao_skill.metric_learning.engines.onnx_file import OnnxFile
from tao_skill.metric_learning.engines.onnx_runtime import OnnxRuntimeEmbedder
from tao_skill.metric_learning.export.parity import Parity, compare
from tao_skill.metric_learning.export.samples import spread

__all__ = ["check_quantised"]

log = logging.getLogger(__name__)
_KEY = "gen_trt_engine.tensorrt.calibration.min_cosine"
_MOST_IMAGES, _BATCH, _WORKERS = 128, 8, 2


def check_quantised(whole: Any, small: Any, images: Sequence[Path], file: OnnxFile, least: float) -> Parity:
    """Return how near two ONNX models' embeddings of the images are; ``file`` says what both take.

    Raises:
        JobError: the mean cosine is below ``least``.
    """
    paths = spread(list(images), _MOST_IMAGES)
    near = compare(*(_embeddings(model, paths, file) for model in (whole, small)))
    log.info("INT8 on %d images: mean cosine %.5f, worst %.5f.", len(paths), near.mean_cosine, near.worst_cosine)
    if near.mean_cosine < least:
        expected = f"at most {near.mean_cosine:.4f}; or more calibration images, or layers_precision for some layers"
        raise JobError(
            f"INT8 computes something else: the mean cosine to the FP32 model is {near.mean_cosine:.4f} on the "
            "calibration images.",
            problems=[Problem(_KEY, least, expected)],
            next_step="gen_trt_engine.tensorrt.data_type=FP16 loses next to nothing",
        )
    return near


def _embeddings(model: Any, paths: list[Path], file: OnnxFile) -> Tensor:
    with tempfile.TemporaryDirectory(prefix="tao_skill_int8_") as folder:
        path = Path(folder) / "model.onnx"
        import_extra("onnx", "INT8").save(model, path)
        embedder = OnnxRuntimeEmbedder(replace(file, path=path), _KEY)
        return embed_images(embedder, paths, batch_size=_BATCH, workers=_WORKERS)
