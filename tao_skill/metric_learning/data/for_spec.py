"""The data sets that a typed spec names, checked: for the actions, and for whoever wants to know before they start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tao_skill.config.placeholder import is_given
from tao_skill.errors import DataError
from tao_skill.metric_learning.data.check import CheckedRetrieval, CheckedSets
from tao_skill.metric_learning.data.findings import Findings
from tao_skill.metric_learning.data.image_set import ImageSet
from tao_skill.metric_learning.data.load import load_evaluation_sets, load_inference_sets, load_training_sets
from tao_skill.metric_learning.gallery.reference import gallery_as_set

if TYPE_CHECKING:
    from tao_skill.metric_learning.data.bad_images import Progress

__all__ = ["evaluation_sets", "inference_sets", "look_at_data", "training_sets"]


def training_sets(
    spec: Any, *, world_size: int = 1, decode: bool = True, progress: Progress | None = None
) -> CheckedSets:
    """Read and check what training needs; without ``decode`` images are counted, not read.

    Raises:
        DataError: with all problems of all sets.
    """
    data = spec.dataset
    return load_training_sets(
        data.train_dataset,
        data.val_dataset.reference,
        data.val_dataset.query,
        batch_size=spec.train.batch_size,
        num_instance=data.num_instance,
        world_size=world_size,
        **_common(data, decode, progress),
    )


def evaluation_sets(
    spec: Any, *, gallery: ImageSet | None = None, decode: bool = True, progress: Progress | None = None
) -> CheckedRetrieval:
    """Read and check what evaluation needs, as `training_sets` does for training.

    ``gallery`` is what the gallery holds, where the spec names one and it was read already.
    """
    data = spec.dataset
    return load_evaluation_sets(
        _reference(spec, "evaluate", gallery),
        data.val_dataset.query,
        topk=spec.evaluate.topk,
        open_set=spec.evaluate.open_set,
        **_common(data, decode, progress),
    )


def inference_sets(
    spec: Any, *, gallery: ImageSet | None = None, decode: bool = True, progress: Progress | None = None
) -> CheckedRetrieval:
    """Read and check what inference needs, as `evaluation_sets` does for evaluation."""
    settings = spec.inference
    return load_inference_sets(
        _reference(spec, "inference", gallery),
        settings.input_path,
        settings.inference_input_type,
        topk=settings.topk,
        **_common(spec.dataset, decode, progress),
    )


_Sets = Callable[..., CheckedSets | CheckedRetrieval]
_OF_ACTION: Mapping[str, _Sets] = {
    "train": training_sets,
    "evaluate": evaluation_sets,
    "inference": inference_sets,
}


def look_at_data(action: str, spec: Any, *, decode: bool, progress: Progress | None = None) -> Findings:
    """Return what is wrong with the data of an action, and warnings; an action without data sets has neither."""
    if action not in _OF_ACTION:
        return Findings()
    try:
        checked = _OF_ACTION[action](spec, decode=decode, progress=progress)
    except DataError as error:
        return Findings(problems=error.problems)
    return Findings(warnings=checked.warnings)


def _reference(spec: Any, action: str, gallery: ImageSet | None) -> str | ImageSet:
    folder = getattr(spec, action).gallery
    if gallery is not None or not is_given(folder):
        return gallery if gallery is not None else str(spec.dataset.val_dataset.reference)
    return gallery_as_set(folder, f"{action}.gallery")


def _common(data: Any, decode: bool, progress: Progress | None) -> dict[str, Any]:
    return {
        "class_map": data.class_map,
        "on_bad_image": data.on_bad_image,
        "workers": max(data.workers, 1),
        "decode": decode,
        "progress": progress,
    }
