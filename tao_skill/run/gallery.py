"""Galleries as a user names them: find the model, bring images here, and change or ask the gallery.

A gallery outlives jobs: it is no result of one, and many processes may use it. So these commands work at once, in this
process, and leave no job behind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tao_skill.bank.skill import find_skill
from tao_skill.config.keys import nest
from tao_skill.config.model_files import ENGINE_ENDINGS, ends_with
from tao_skill.config.placeholder import is_given
from tao_skill.errors import CheckpointError, Problem, UsageError
from tao_skill.run.check_places import check_places
from tao_skill.run.gallery_requests import (
    GalleryAdd,
    GalleryBuild,
    GalleryInfo,
    GalleryList,
    GalleryQuery,
    GalleryRemove,
    GalleryWithModel,
)
from tao_skill.run.inference_functions import Facts, resolve_fields
from tao_skill.run.overrides import read_overrides
from tao_skill.run.packages import needing
from tao_skill.run.parent_job import find_parent
from tao_skill.run.request import parse_parent_checkpoint
from tao_skill.run.results_root import open_store
from tao_skill.run.stage import stage_inputs
from tao_skill.storage.locate import is_redacted, is_remote, local_path, redact

__all__ = ["add", "build", "info", "listed", "query", "remove"]

_BATCH_SIZE = 32
_SHA256 = re.compile("[0-9a-f]{64}")
_CHECKPOINT, _ENGINE = "inference.checkpoint", "inference.trt_engine"


def build(request: GalleryBuild) -> dict[str, Any]:
    """Make a gallery of reference images and return what is in it; raises as `add`."""
    return _add(request, new=True, overwrite=request.overwrite)


def add(request: GalleryAdd) -> dict[str, Any]:
    """Add what a gallery doesn't have yet, and return what is in it.

    Raises:
        UsageError: no images were named, or in two ways.
        DataError: another model's gallery, a damaged one, or images that can't be used.
        SpecError, CheckpointError, JobError, StorageError: the model can't be had.
    """
    return _add(request, new=False, overwrite=False)


def remove(request: GalleryRemove) -> dict[str, Any]:
    """Remove images from a gallery, and return what is left and how many were removed.

    Raises:
        UsageError: nothing was named, or not all of it is there; then nothing is removed.
    """
    if not request.labels and not request.images:
        raise UsageError(
            "Say what to remove.", problems=[Problem("--label", [], "a class, or --image with paths or SHA-256")]
        )
    with needing("train", "gallery remove"):
        from tao_skill.metric_learning.gallery.describe import describe_gallery
        from tao_skill.metric_learning.gallery.remove import remove_images
    folder = local_path(request.gallery)
    removed, contents = remove_images(folder, request.labels, [_as_kept(image) for image in request.images])
    return {**describe_gallery(folder, contents), "removed": removed}


def info(request: GalleryInfo) -> dict[str, Any]:
    """Return what is in a gallery, and which model it belongs to."""
    with needing("train", "gallery info"):
        from tao_skill.metric_learning.gallery.describe import describe_gallery
    return describe_gallery(local_path(request.gallery))


def listed(request: GalleryList) -> dict[str, Any]:
    """Return which images are in a gallery, each with its class, path and SHA-256.

    Raises:
        UsageError: a class isn't there.
        DataError: there is no gallery, or it is damaged.
    """
    with needing("train", "gallery list"):
        from tao_skill.metric_learning.gallery.describe import list_images
    return list_images(local_path(request.gallery), request.labels, request.limit)


def query(request: GalleryQuery) -> dict[str, Any]:
    """Return the nearest images of a gallery for each image, and what it is recognised as; raises as `add`."""
    with needing("train", "gallery query"):
        from tao_skill.metric_learning.gallery.commands import query_gallery
    folder = local_path(request.gallery)
    settings: dict[str, Any] = {"inference.topk": request.topk, "inference.search": request.search}
    if request.reject_distance is not None:
        settings["inference.reject_distance"] = request.reject_distance
    model, _ = _model(request, folder)
    settings |= model
    images = _staged({"--images": request.images})["--images"]
    settings |= {"inference.input_path": images[0], "inference.gallery": str(folder)}
    return query_gallery(folder, nest(settings), images)


def _as_kept(image: str) -> str:
    """Return a path as a gallery keeps it; a SHA-256 is none, and an image from a server is kept by its place here."""
    return image if _SHA256.fullmatch(image) or is_remote(image) else str(local_path(image))


def _add(request: GalleryAdd, *, new: bool, overwrite: bool) -> dict[str, Any]:
    _check_images(request)
    with needing("train", "gallery add"):
        from tao_skill.metric_learning.gallery.commands import add_to_gallery
    folder = local_path(request.gallery)
    settings, source = _model(request, folder if not new else None)
    asked = {"--reference": [request.reference]} if request.reference else {"--images": request.images}
    staged = _staged(asked)
    images = staged.get("--images", [])
    reference = staged["--reference"][0] if request.reference else None
    settings |= {"inference.input_path": reference or images[0], "inference.gallery": str(folder)}
    return add_to_gallery(
        folder,
        nest(settings),
        source=source,
        reference=reference,
        label=request.label,
        images=images,
        new=new,
        overwrite=overwrite,
    )


def _check_images(request: GalleryAdd) -> None:
    one_class = bool(request.label) and bool(request.images)
    half = bool(request.label) != bool(request.images)
    if half or one_class == bool(request.reference):
        raise UsageError(
            "Say which images: a folder of class folders, or the images of one class.",
            problems=[
                Problem("--reference", request.reference, "a folder, or --label NAME with --images in its place")
            ],
        )


def _model(request: GalleryWithModel, folder: Path | None) -> tuple[dict[str, Any], str]:
    """Return the settings that name the model, on this machine, and what the user calls its file.

    ``folder`` is the gallery whose own model is taken where none is named.
    """
    info = find_skill(request.skill).info
    given = read_overrides(request.overrides, info.spec_shorthand_keys).values
    settings = {"inference.batch_size": _BATCH_SIZE} | given
    key, named = _named_model(request, given)
    if named is None and not any(name.startswith("model.pretrained") for name in given) and folder is not None:
        key, named, unsaid = _own_model(folder)
        settings = unsaid | settings
    if named is None:
        if any(name.startswith("model.") for name in given):
            return settings, "pretrained weights, without training"
        raise UsageError(
            "Say which model embeds the images.",
            problems=[Problem("--parent-job-id", None, "the job that trained it, or --checkpoint FILE")],
            next_step="python -m tao_skill jobs list",
        )
    source = named if is_remote(named) else str(local_path(named))
    staged = stage_inputs(nest({key: source}), {key: [source]})
    return settings | {key: staged["inference"][key.rpartition(".")[2]]}, redact(source)


def _named_model(request: GalleryWithModel, given: Mapping[str, Any]) -> tuple[str, str | None]:
    for key in (_CHECKPOINT, _ENGINE):
        if is_given(given.get(key)):
            return key, str(given[key])
    if request.checkpoint:
        return _key_of(request.checkpoint), request.checkpoint
    if request.parent_job_id is None:
        return _CHECKPOINT, None
    skill = find_skill(request.skill)
    parent = find_parent(open_store(request.results_root), request.parent_job_id, request.force_parent)
    choose, epoch = parse_parent_checkpoint(request.parent_checkpoint)
    facts = Facts("inference", "", given, given, parent, choose=choose, epoch=epoch)
    filled = resolve_fields(skill.inference_rows("inference"), facts)
    models = {one.key: str(one.value) for one in filled if one.key in (_CHECKPOINT, _ENGINE) and one.value}
    key = next(iter(models))  # resolve_fields refuses a parent that made nothing to load
    return key, models[key]


def _own_model(folder: Path) -> tuple[str, str, dict[str, Any]]:
    """Return the model that a gallery was built with, and the settings that its file doesn't say.

    Raises:
        CheckpointError: its file is gone.
    """
    from tao_skill.metric_learning.gallery.store import read_model

    model = read_model(folder)
    source = model.source
    if is_redacted(source):
        raise CheckpointError(
            f"The link to the model of the gallery {folder} held a key, which was not written down: {source}.",
            problems=[Problem("--checkpoint", None, "the model's file, or a link to it that is valid now")],
        )
    if not is_remote(source) and not Path(source).is_file():
        raise CheckpointError(
            f"The model of the gallery {folder} is not where it was: {source}.",
            problems=[Problem("--checkpoint", None, "the model's file, or --parent-job-id with the job that made it")],
        )
    return _key_of(source), source, model.settings


def _key_of(file: str) -> str:
    return _ENGINE if ends_with(file, ENGINE_ENDINGS) else _CHECKPOINT


def _staged(asked: Mapping[str, Sequence[str | None]]) -> dict[str, list[str]]:
    """Return local paths of images and folders, in the order named."""
    uris = {key: [str(uri) for uri in named] for key, named in asked.items()}
    check_places(uris, None)
    from tao_skill.storage.stage import stage

    return {key: [str(stage(uri)) for uri in named] for key, named in uris.items()}
