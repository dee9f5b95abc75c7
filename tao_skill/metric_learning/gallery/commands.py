"""What one does with a gallery, as functions from a checked spec and local paths to plain data."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tao_skill.config.wording import counted
from tao_skill.errors import DataError
from tao_skill.metric_learning.data.bad_images import with_decodable_images
from tao_skill.metric_learning.data.check import nested_hint
from tao_skill.metric_learning.data.findings import Findings
from tao_skill.metric_learning.data.folders import read_class_map, read_image_folder, scan_class_folders
from tao_skill.metric_learning.data.image_set import ImageSet, image_set
from tao_skill.metric_learning.embed import embed_images
from tao_skill.metric_learning.gallery.add import add_images
from tao_skill.metric_learning.gallery.build import build_gallery, refuse_existing
from tao_skill.metric_learning.gallery.describe import describe_gallery
from tao_skill.metric_learning.gallery.look_up import nearest_in_gallery, rivals
from tao_skill.metric_learning.gallery.store import Contents, ModelOfGallery, read_gallery
from tao_skill.metric_learning.model_for_spec import prepare
from tao_skill.metric_learning.progress import Progress
from tao_skill.metric_learning.retrieval.open_set import UNKNOWN, Threshold, rejection_threshold

__all__ = ["add_to_gallery", "query_gallery"]

_log = logging.getLogger(__name__)


def add_to_gallery(
    folder: Path,
    given: Mapping[str, Any],
    *,
    source: str,
    reference: str | None = None,
    label: str | None = None,
    images: Sequence[str] = (),
    new: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Embed the images that a gallery doesn't know yet, with the model of a spec, and add them.

    Args:
        folder: The gallery's folder.
        given: Nested settings of an inference: the model and how to compute.
        source: The model's file, as the user named it.
        reference: A folder of class folders.
        label: Class name of ``images``, which are files and folders; instead of ``reference``.
        images: See ``label``.
        new: The gallery must not be there yet.
        overwrite: Replace what is there once the new gallery is whole.

    Raises:
        UsageError: there is a gallery already, or no images are named.
        DataError: no such gallery, another model's, or images that can't be used; with all problems.
        SpecError, CheckpointError: as an inference with this spec.
    """
    if not new:
        read_gallery(folder)
    elif not overwrite:
        refuse_existing(folder)
    model = prepare("inference", given)
    data = model.spec.dataset
    found = _labelled(reference, label, images, data)
    for warning in found.warnings:
        _log.warning("%s", warning)
    pairs = [(found.classes[number], path) for number, path in zip(found.positions, found.paths, strict=True)]
    own = ModelOfGallery.of(model.embedder.facts, source, model.unsaid)
    sizes = {"batch_size": model.spec.inference.batch_size, "workers": data.workers}
    if new:
        added = build_gallery(folder, pairs, model.embedder, own, **sizes, overwrite=overwrite)
    else:
        added = add_images(folder, pairs, model.embedder, own, **sizes)
    return {
        **describe_gallery(folder, added.contents),
        "added": added.added,
        "known": added.known,
        "embedded": added.embedded,
        "warnings": [*model.warnings, *found.warnings],
    }


def query_gallery(folder: Path, given: Mapping[str, Any], images: Sequence[str]) -> dict[str, Any]:
    """Return the nearest entries of each image, with what each is recognised as.

    ``given`` are nested settings of an inference: the model, topk, search and reject_distance. ``images`` are files and
    folders.

    Raises:
        DataError: no such gallery, another model's, an empty one, or images that can't be used.
        SpecError, CheckpointError: as an inference with this spec.
    """
    contents = read_gallery(folder)
    model = prepare("inference", given)
    settings, data = model.spec.inference, model.spec.dataset
    contents.check_model(model.embedder.facts.fingerprint, folder, "--checkpoint")
    asked = _labelled(None, "", images, data)
    embeddings = embed_images(model.embedder, asked.paths, batch_size=settings.batch_size, workers=data.workers)
    found = nearest_in_gallery(folder, contents, embeddings, settings.topk, settings.search)
    threshold = rejection_threshold(settings.reject_distance, model.embedder.facts.recognition)
    nearest = zip(asked.paths, found.distances.tolist(), found.indices.tolist(), rivals(contents, found), strict=True)
    results = [
        _answer(contents, rows, distances, threshold) | {"path": str(path), "as_near": others}
        for path, distances, rows, others in nearest
    ]
    return {
        "gallery": str(folder),
        "results": results,
        "rejection": threshold.document(),
        "search": found.facts,
        "warnings": [
            *model.warnings,
            *asked.warnings,
            *threshold.warnings(list(contents.classes())),
            *_of_rivals(results),
        ],
    }


def _answer(
    contents: Contents, rows: Sequence[int], distances: Sequence[float], threshold: Threshold
) -> dict[str, Any]:
    matches = [
        {"label": contents.entries[row].label, "distance": round(distance, 6), "path": contents.entries[row].path}
        for row, distance in zip(rows, distances, strict=True)
    ]
    rejected = not threshold.accepts(distances[0])
    name = UNKNOWN if rejected else matches[0]["label"]
    return {"matches": matches, "recognised_as": name, "rejected": rejected}


def _of_rivals(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say which names were chosen among several of which none is nearer."""
    undecided = [one for one in results if one["as_near"] and not one["rejected"]]
    if not undecided:
        return []
    first = undecided[0]
    names = " = ".join([first["recognised_as"], *first["as_near"]])
    told = counted(len(undecided), "image is", "images are")
    return [
        f"{told} as near to several classes, of which the first by name is told: {first['path']} is {names}. "
        "What is there under a wrong or an old name is to be removed: gallery remove --label."
    ]


def _labelled(
    reference: str | None,
    label: str | None,
    images: Sequence[str],
    data: Any,
) -> ImageSet:
    """Return the images that were named, all of which decode."""
    findings = Findings()
    found: ImageSet | None
    if reference is not None:
        scan = scan_class_folders(reference, "--reference", read_class_map(data.class_map) if data.class_map else None)
        findings.problems += scan.problems
        found = scan.images
        if found is not None and len(found.classes) == 1 and (hint := nested_hint(found)):
            findings.warnings.append(f"--reference: all images are of one class, {found.classes[0]}{hint}")
    else:
        paths = [path for one in images for path in _files(Path(one), findings)]
        found = image_set(Path(), "--images", [(label or "", path) for path in dict.fromkeys(paths)]) if paths else None
        if found is None and not findings.problems:
            findings.problem("--images", list(images), "at least one image")
    (sound,) = with_decodable_images(
        [found], data.on_bad_image, max(data.workers, 1), Progress("images checked"), findings
    )
    if sound is not None:
        findings.warnings += sound.warnings
    findings.raise_if_any()
    assert sound is not None
    return ImageSet(sound.root, sound.paths, sound.positions, sound.classes, sound.key, findings.warnings)


def _files(path: Path, findings: Findings) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        found = read_image_folder(path, "--images")
    except DataError as error:
        findings.problems += error.problems
        return []
    findings.warnings += found.warnings
    return found.paths
