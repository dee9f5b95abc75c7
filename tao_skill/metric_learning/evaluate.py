"""The evaluate action: retrieval metrics of a trained model."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tao_skill.config.typed import sound_spec
from tao_skill.metric_learning.all_problems import all_problems
from tao_skill.metric_learning.data.for_spec import evaluation_sets
from tao_skill.metric_learning.embeddings_file import FILE_NAME as PARQUET
from tao_skill.metric_learning.embeddings_file import EmbeddedSet, check_can_write, write_embeddings
from tao_skill.metric_learning.gallery.reference import open_gallery
from tao_skill.metric_learning.match_page import FILE_NAME as PAGE
from tao_skill.metric_learning.match_page import MATCHES, Shown, shown, write_match_page
from tao_skill.metric_learning.measure import Embedded, RetrievalTask, embed_task, measure_embedded
from tao_skill.metric_learning.model_for_spec import prepare
from tao_skill.metric_learning.progress import Progress
from tao_skill.metric_learning.retrieval.open_set import Threshold, open_set_metrics, rejection_threshold
from tao_skill.metric_learning.retrieval.report import write_per_class_csv
from tao_skill.metric_learning.retrieval.search import top_k
from tao_skill.metric_learning.status import StatusLog

__all__ = ["evaluate"]

log = logging.getLogger(__name__)


def evaluate(given: Mapping[str, Any], folder: Path, status: StatusLog) -> dict[str, Any]:
    """Measure how well queries find their class in the reference, and return the results document.

    Raises:
        SpecError, CheckpointError, DataError: with all problems, before anything is embedded.
    """
    with all_problems("evaluate", sound_spec("evaluate", given)):
        model = prepare("evaluate", given)
    spec, settings = model.spec, model.spec.evaluate
    check_can_write(settings.save_embeddings, "evaluate.save_embeddings")
    gallery = open_gallery(settings.gallery, model.embedder.facts.fingerprint, "evaluate.gallery")
    sets = evaluation_sets(spec, gallery=gallery.images if gallery else None, progress=Progress("images checked"))
    for warning in sets.warnings:
        log.warning("%s", warning)
    assert sets.query is not None
    task = RetrievalTask(
        sets.reference,
        sets.query,
        settings.batch_size,
        spec.dataset.workers,
        reference_embeddings=torch.from_numpy(gallery.contents.embeddings) if gallery else None,
    )
    found = embed_task(model.embedder, task)
    values, full = measure_embedded(found, task, "test", topk=_ranks(settings.topk, len(sets.reference)))
    threshold = rejection_threshold(settings.reject_distance, model.embedder.facts.recognition)
    rates = open_set_metrics(full, threshold.distance)
    values |= {f"test {name}": value for name, value in rates.items()}
    status.running("All images are embedded and compared.", kpi=values)
    if settings.report_accuracy_per_class:
        write_per_class_csv(folder / "per_class.csv", full.per_class)
    if settings.save_embeddings:
        _save(folder, task, found, model.embedder.facts.fingerprint)
    if settings.picture_queries:
        queries, digests = _shown(task, found, threshold), gallery.digests() if gallery else None
        title = "Queries and their nearest references"
        write_match_page(folder / PAGE, queries, settings.picture_queries, title, digests)
    return {
        "model_name": spec.model_name,
        "warnings": [*model.warnings, *sets.warnings, *threshold.warnings(sets.reference.classes)],
        "checkpoint": model.source,
        "engine": model.embedder.engine,
        "fingerprint": model.embedder.facts.fingerprint,
        "gallery": str(gallery.folder) if gallery else None,
        "epoch": model.epoch,
        "metrics": values,
        "num_queries": full.num_queries,
        "num_open_set_queries": full.num_open_set,
        "num_references": full.num_references,
        "num_classes": full.num_classes,
        "topk": settings.topk,
        "rejection": threshold.document(),
    }


def _save(folder: Path, task: RetrievalTask, found: Embedded, fingerprint: str) -> None:
    parts = (("reference", task.reference, found.reference), ("query", task.query, found.query))
    sets = [
        EmbeddedSet(kind, [str(path) for path in images.paths], images.names(), embeddings)
        for kind, images, embeddings in parts
    ]
    write_embeddings(folder / PARQUET, sets, fingerprint)


def _shown(task: RetrievalTask, found: Embedded, threshold: Threshold) -> list[Shown]:
    distances, indices = top_k(found.query, found.reference, min(MATCHES, len(task.reference)))
    names, paths = task.reference.names(), task.reference.paths
    known = set(names)
    return [
        shown(
            path,
            truth,
            [(names[row], far, paths[row]) for row, far in zip(rows, fars, strict=True)],
            threshold,
            is_known=truth in known,
        )
        for path, truth, rows, fars in zip(
            task.query.paths, task.query.names(), indices.tolist(), distances.tolist(), strict=True
        )
    ]


def _ranks(topk: int, num_references: int) -> tuple[int, ...]:
    """Return the k that are reported: the one asked for, and the usual 5 and 10 as far as the reference goes."""
    return tuple(sorted({topk, *(k for k in (5, 10) if k <= num_references)}))
