"""The inference action: names the class of images by their nearest references."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tao_skill.config.typed import sound_spec
from tao_skill.metric_learning.all_problems import all_problems
from tao_skill.metric_learning.data.check import CheckedRetrieval
from tao_skill.metric_learning.data.for_spec import inference_sets
from tao_skill.metric_learning.embed import embed_images
from tao_skill.metric_learning.embeddings_file import FILE_NAME as PARQUET
from tao_skill.metric_learning.embeddings_file import EmbeddedSet, check_can_write, write_embeddings
from tao_skill.metric_learning.gallery.look_up import nearest_in_gallery
from tao_skill.metric_learning.gallery.reference import open_gallery
from tao_skill.metric_learning.match_page import FILE_NAME as PAGE
from tao_skill.metric_learning.match_page import Shown, shown, write_match_page
from tao_skill.metric_learning.model_for_spec import ReadyModel, prepare
from tao_skill.metric_learning.progress import Progress
from tao_skill.metric_learning.retrieval.ivf import Found, search
from tao_skill.metric_learning.retrieval.open_set import Threshold, rejection_threshold
from tao_skill.metric_learning.retrieval.report import write_inference_results
from tao_skill.metric_learning.status import StatusLog

__all__ = ["infer"]

log = logging.getLogger(__name__)


def infer(given: Mapping[str, Any], folder: Path, status: StatusLog) -> dict[str, Any]:
    """Find the nearest references of each image, write result.csv and result.jsonl, and return the results document.

    Raises:
        SpecError, CheckpointError, DataError: with all problems, before anything is embedded.
    """
    with all_problems("inference", sound_spec("inference", given)):
        model = prepare("inference", given)
    spec, settings = model.spec, model.spec.inference
    check_can_write(settings.save_embeddings, "inference.save_embeddings")
    gallery = open_gallery(settings.gallery, model.embedder.facts.fingerprint, "inference.gallery")
    sets = inference_sets(spec, gallery=gallery.images if gallery else None, progress=Progress("images checked"))
    for warning in sets.warnings:
        log.warning("%s", warning)
    images = _embed(model, sets.images)
    if gallery is not None:
        references = torch.from_numpy(gallery.contents.embeddings)
        found = nearest_in_gallery(gallery.folder, gallery.contents, images, settings.topk, settings.search)
    else:
        references = _embed(model, sets.reference.paths)
        found = search(images, references, settings.topk, kind=settings.search)
    status.running("All images are embedded and compared.")
    labels, names = sets.reference.names(), _names(sets.images, settings)
    nearest = [[labels[index] for index in row] for row in found.indices.tolist()]
    table, lines = folder / "result.csv", folder / "result.jsonl"
    threshold = rejection_threshold(settings.reject_distance, model.embedder.facts.recognition)
    warnings = [*model.warnings, *sets.warnings, *threshold.warnings(sets.reference.classes)]
    num_unknown = write_inference_results(
        table, lines, names, nearest, found.distances, reject_distance=threshold.distance
    )
    if settings.save_embeddings:
        paths = [str(path) for path in sets.reference.paths]
        parts = [EmbeddedSet("reference", paths, labels, references), EmbeddedSet("query", names, None, images)]
        write_embeddings(folder / PARQUET, parts, model.embedder.facts.fingerprint)
    if settings.picture_queries:
        queries, digests = _shown(sets, found, threshold), gallery.digests() if gallery else None
        title = "Images and their nearest references"
        write_match_page(folder / PAGE, queries, settings.picture_queries, title, digests)
    return {
        "model_name": spec.model_name,
        "warnings": warnings,
        "checkpoint": model.source,
        "engine": model.embedder.engine,
        "fingerprint": model.embedder.facts.fingerprint,
        "gallery": str(gallery.folder) if gallery else None,
        "metrics": {},
        "num_images": len(sets.images),
        "num_references": len(sets.reference),
        "num_classes": len(sets.reference.classes),
        "num_unknown": num_unknown,
        "topk": settings.topk,
        "rejection": threshold.document(),
        "result_csv": str(table),
        "search": found.facts,
        "result_jsonl": str(lines),
    }


def _shown(sets: CheckedRetrieval, found: Found, threshold: Threshold) -> list[Shown]:
    labels, paths = sets.reference.names(), sets.reference.paths
    return [
        shown(path, None, [(labels[row], far, paths[row]) for row, far in zip(rows, fars, strict=True)], threshold)
        for path, rows, fars in zip(sets.images, found.indices.tolist(), found.distances.tolist(), strict=True)
    ]


def _names(images: Sequence[Path], settings: Any) -> list[str]:
    """Return what the results call each image."""
    if not settings.relative_paths:
        return [str(path) for path in images]
    given = Path(settings.input_path)
    root = given if given.is_dir() else given.parent
    return [path.relative_to(root).as_posix() for path in images]


def _embed(model: ReadyModel, paths: Sequence[Path]) -> Tensor:
    settings, data = model.spec.inference, model.spec.dataset
    return embed_images(model.embedder, paths, batch_size=settings.batch_size, workers=data.workers)
