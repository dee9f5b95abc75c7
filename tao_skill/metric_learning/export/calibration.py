"""Value ranges for INT8 in TensorRT, measured on real images, and kept for the same model and images."""

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tao_skill.config.deploy import Calibration
from tao_skill.errors import DataError, Problem
from tao_skill.metric_learning.data.folders import read_image_folder
from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.export.quantise import TENSORRT, Ranges, measure_ranges
from tao_skill.metric_learning.export.samples import filled_batches, spread
from tao_skill.metric_learning.files import replacing

__all__ = ["calibrate", "choose_images"]

log = logging.getLogger(__name__)
_SECTION = "gen_trt_engine.tensorrt.calibration"
_FORMAT = "ranges of symmetric INT8, version 1"


def choose_images(settings: Calibration) -> list[Path]:
    """Return cal_batch_size × cal_batches images from all over the folders.

    Raises:
        DataError: a folder can't be read, or there are too few images; both numbers are told.
    """
    problems: list[Problem] = []
    paths: list[Path] = []
    for folder in settings.cal_image_dir:
        try:
            paths += read_image_folder(folder, f"{_SECTION}.cal_image_dir").paths
        except DataError as error:
            problems += error.problems
    needed = settings.cal_batch_size * settings.cal_batches
    if not problems and len(paths) < needed:
        problems = [
            Problem(
                f"{_SECTION}.cal_batches",
                settings.cal_batches,
                f"no more batches than the {len(paths)} images of cal_image_dir fill: cal_batch_size × cal_batches "
                f"asks for {settings.cal_batch_size} × {settings.cal_batches} = {needed}",
            )
        ]
    if problems:
        raise DataError("INT8 can't be calibrated.", problems=problems, next_step=f"correct {_SECTION}")
    return spread(paths, needed)


def calibrate(
    model: Any, images: Sequence[Path], settings: Calibration, transform: EvalTransform, batch: int | None
) -> tuple[Ranges, bool]:
    """Return the range of each tensor, and whether the cache knew them; else they are measured and kept there.

    Raises:
        DataError: the cache file holds something else than ranges, or an image can't be decoded.
    """
    cache = Path(settings.cal_cache_file)
    belongs_to = {"format": _FORMAT, "model": _model_digest(model), "images": _images_digest(images)}
    known = _read(cache)
    if known is not None and {name: known.get(name) for name in belongs_to} == belongs_to:
        log.info("%s holds the ranges of this model on these images: they are used again.", cache)
        return {name: (low, high) for name, (low, high) in known["ranges"].items()}, True
    if known is not None:
        log.warning("%s is of another model or of other images: ranges are measured again.", cache)
    size = batch or settings.cal_batch_size
    batches = (tensors.numpy() for tensors in filled_batches(list(images), transform, size))
    ranges = measure_ranges(model, batches, TENSORRT)
    with replacing(cache) as temporary:
        temporary.write_text(json.dumps({**belongs_to, "num_images": len(images), "ranges": ranges}, indent=1) + "\n")
    return ranges, False


def _read(cache: Path) -> dict[str, Any] | None:
    if not cache.exists():
        return None
    try:
        content = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("ranges"), dict):
        problem = Problem(
            f"{_SECTION}.cal_cache_file", str(cache), "a file that isn't there, or that a calibration wrote"
        )
        raise DataError(
            f"{cache} holds no ranges of this project; caches of TensorRT 10 can't be used.",
            problems=[problem],
            next_step="name another file",
        )
    return content


def _model_digest(model: Any) -> str:
    return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()


def _images_digest(images: Iterable[Path]) -> str:
    """Tell images apart by what they hold, wherever they lie."""
    digest = hashlib.sha256()
    for path in images:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
