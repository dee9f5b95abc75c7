"""Compares contenders on the same images, and their speeds in turns, so that a busy machine wrongs none of them."""

import logging
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tao_skill.errors import TaoSkillError
from tao_skill.metric_learning.compare.contender import Contender, contenders
from tao_skill.metric_learning.compare.worker import Worker
from tao_skill.metric_learning.data.check import CheckedRetrieval
from tao_skill.metric_learning.data.load import load_evaluation_sets
from tao_skill.metric_learning.export.parity import compare as compare_embeddings
from tao_skill.metric_learning.progress import Progress
from tao_skill.metric_learning.retrieval.metrics import retrieval_metrics
from tao_skill.processors import usable_processors

__all__ = ["compare"]

log = logging.getLogger(__name__)
_BATCH = 16
_SECONDS = 0.3


def compare(
    files: Mapping[str, str], reference: str, query: str, *, batches: Sequence[int] = (1, 16), rounds: int = 7
) -> dict[str, Any]:
    """Return what each engine answers and takes, as a document.

    ``files`` holds the model's files by kind: checkpoint, onnx, int8, engine. The first row, torch in FP32, is what
    the others are compared with. Speeds are medians over ``rounds``, in which all engines take turns.

    Raises:
        DataError: the images can't be used.
        TaoSkillError: the checkpoint can't be loaded.
    """
    sets = load_evaluation_sets(
        reference, query, topk=1, open_set=True, keys=("reference", "query"), progress=Progress("images checked")
    )
    able, skipped = contenders(files)
    with ExitStack() as stack:
        workers: list[Worker] = []
        for contender in able:
            log.info("%s is loaded.", contender.label)
            try:
                worker = Worker(contender)
            except TaoSkillError as error:
                if not workers:
                    raise
                skipped[contender.label] = error.message
                continue
            stack.callback(worker.close)
            workers.append(worker)
        rows = _answers(workers, sets)
        speeds = _speeds(workers, batches, rounds)
        for worker, row, speed in zip(workers, rows, speeds, strict=True):
            row.update(speed, memory_bytes=worker.memory())
    assert sets.query is not None
    return {
        "rows": rows,
        "skipped": [{"label": label, "reason": reason} for label, reason in skipped.items()],
        "batches": list(batches),
        "rounds": rounds,
        "data": {
            "reference": reference,
            "query": query,
            "num_references": len(sets.reference),
            "num_queries": len(sets.query),
            "num_classes": len(sets.reference.classes),
        },
        "machine": _machine(),
    }


def _answers(workers: Sequence[Worker], sets: CheckedRetrieval) -> list[dict[str, Any]]:
    """Return, for each worker, how well it retrieves and how near its embeddings are to the first one's."""
    assert sets.query is not None
    paths = [*sets.reference.paths, *sets.query.paths]
    count = len(sets.reference)
    rows = []
    wanted: Tensor | None = None
    for worker in workers:
        log.info("%s embeds %d images.", worker.contender.label, len(paths))
        found = torch.from_numpy(worker.embed(paths, _BATCH))
        wanted = found if wanted is None else wanted
        near = compare_embeddings(wanted, found)
        metrics = retrieval_metrics(
            found[count:],
            sets.query.labels,
            found[:count],
            sets.reference.labels,
            class_names=sets.reference.classes,
        ).micro
        rows.append(
            _identity(worker.contender)
            | {
                "precision_at_1": metrics["precision_at_1"],
                "mean_average_precision": metrics["mean_average_precision"],
                "worst_cosine": near.worst_cosine,
                "mean_cosine": near.mean_cosine,
                "load_seconds": worker.load_seconds,
            }
        )
    return rows


def _identity(contender: Contender) -> dict[str, Any]:
    path = Path(contender.path)
    return {
        "label": contender.label,
        "engine": contender.engine,
        "file": str(path),
        "file_bytes": path.stat().st_size,
    }


def _speeds(workers: Sequence[Worker], batches: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """Return images per second of each worker, by batch size, and the ratio to the first one's."""
    seconds: list[dict[int, list[float]]] = [{batch: [] for batch in batches} for _ in workers]
    progress = Progress("rounds of timing", rounds)
    for number in range(rounds):
        # Each round begins with another engine.
        order = [(number + place) % len(workers) for place in range(len(workers))]
        for batch in batches:
            for index in order:
                seconds[index][batch].append(workers[index].seconds_per_batch(batch, _SECONDS))
        progress.add()
    progress.close()
    medians = [{batch: statistics.median(values) for batch, values in one.items()} for one in seconds]
    return [
        {
            "images_per_second": {str(batch): batch / own[batch] for batch in batches},
            # Within each round first: what slows a whole round slows all.
            "speedup": {
                str(batch): statistics.median(
                    first / mine for first, mine in zip(seconds[0][batch], values[batch], strict=True)
                )
                for batch in batches
            },
        }
        for own, values in zip(medians, seconds, strict=True)
    ]


def _machine() -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": usable_processors(),
        "gpu": gpu,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
