"""Write what an evaluation or a recognition found, under the names that users and tuners read."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np
from numpy.typing import ArrayLike

from tao_skill.config.metrics import TITLES
from tao_skill.errors import InternalError, StorageError
from tao_skill.metric_learning.files import replacing
from tao_skill.metric_learning.retrieval.metrics import ClassMetrics, RetrievalMetrics, top_accuracy
from tao_skill.metric_learning.retrieval.open_set import UNKNOWN
from tao_skill.metric_learning.status import plain

__all__ = ["metric_names", "write_inference_results", "write_per_class_csv", "write_results_json"]


def metric_names(
    prefix: Literal["val", "test"], metrics: RetrievalMetrics, clusters: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Return the metrics under their public names, such as ``val Precision at Rank 1`` and ``val_AMI``.

    The plain name is the mean over queries, ``… (macro)`` the mean over classes; ``… Top-5 Accuracy`` (CMC@5) is the
    share of queries with a reference of their class among the 5 nearest, ``… Precision at 5`` the share of such
    references among the 5. All are in [0, 1], AMI in [-1, 1]; higher is better.

    Args:
        prefix: ``val`` for validation during training, ``test`` for an evaluation of its own.
        metrics: Of the retrieval.
        clusters: AMI and NMI, from `cluster_metrics`.
    """
    named = {f"{prefix}_{name}": clusters[name] for name in ("AMI", "NMI")} if clusters is not None else {}
    titles = dict(TITLES)
    for k in metrics.topk:
        titles |= {top_accuracy(k): f"Top-{k} Accuracy", f"precision_at_{k}": f"Precision at {k}"}
    titles |= TITLES  # the precision at 1 has its name already
    named |= {f"{prefix} {title}": metrics.micro[name] for name, title in titles.items()}
    return named | {f"{prefix} {title} (macro)": metrics.macro[name] for name, title in titles.items()}


def write_results_json(path: Path, results: Mapping[str, Any]) -> None:
    """Write results as one JSON document, whole or not at all; numbers that aren't finite become null.

    Raises:
        StorageError: The file can't be written.
    """
    with _replacing(path) as file:
        json.dump(plain(results)[0], file, indent=2, allow_nan=False)
        file.write("\n")


def write_per_class_csv(path: Path, rows: Sequence[ClassMetrics]) -> None:
    """Write one line for each class; metrics of a class without queries or references stay empty.

    Raises:
        StorageError: The file can't be written.
    """
    header = ["class" if field.name == "name" else field.name for field in fields(ClassMetrics)]
    with _replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(asdict(row).values() for row in rows)


def write_inference_results(
    csv_path: Path,
    jsonl_path: Path,
    images: Sequence[str | Path],
    labels: Sequence[Sequence[str]],
    distances: ArrayLike,
    *,
    reject_distance: float | None = None,
) -> int:
    """Write the k nearest of each image, nearest first, as a table and as JSON lines; return how many are unknown.

    The table has the columns ``path,label_1,distance_1,…``, one pair for each of the k; a line of the JSON file is
    ``{"path": …, "matches": [{"label": …, "distance": …}, …], "recognised_as": …, "rejected": …}``. An image whose
    nearest reference is farther than ``reject_distance`` is rejected and recognised as ``unknown``, all others as what
    is nearest.

    Args:
        csv_path: Where the table goes.
        jsonl_path: Where the JSON lines go.
        images: Paths of the images ``(num_images,)``.
        labels: Class names of the nearest references ``(num_images, k)``.
        distances: Squared L2 distances of unit vectors ``(num_images, k)``, in [0, 4], lower is nearer.
        reject_distance: Largest distance of a known image; None rejects nothing.

    Raises:
        StorageError: A file can't be written.
    """
    matches = _matches(images, labels, distances)
    # By the distances themselves: what is written of one is the shortest text for it, a little more or less.
    nearest = [float(row[0]) if len(row) else 0.0 for row in np.asarray(distances, dtype=np.float32)]
    most = math.inf if reject_distance is None else float(np.float32(reject_distance))
    k = len(labels[0]) if len(labels) else 0
    header = ["path", *(f"{name}_{place}" for place in range(1, k + 1) for name in ("label", "distance"))]
    num_unknown = 0
    with _replacing(csv_path) as table, _replacing(jsonl_path) as lines:
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(header)
        for (path, pairs), distance in zip(matches, nearest, strict=True):
            label = pairs[0][0]
            rejected = distance > most
            num_unknown += rejected
            writer.writerow([path, *(cell for pair in pairs for cell in pair)])
            found = [{"label": one, "distance": shown} for one, shown in pairs]
            name = UNKNOWN if rejected else label
            line = {"path": path, "matches": found, "recognised_as": name, "rejected": rejected}
            lines.write(json.dumps(line, allow_nan=False) + "\n")
    return num_unknown


def _matches(
    images: Sequence[str | Path], labels: Sequence[Sequence[str]], distances: ArrayLike
) -> list[tuple[str, list[tuple[str, float]]]]:
    """Return path and (label, distance) pairs of each image."""
    values = np.asarray(distances, dtype=np.float32)
    if len(images) != len(labels) or [len(row) for row in labels] != [len(row) for row in values]:
        raise InternalError(f"{len(images)} images, {len(labels)} rows of labels, distances {values.shape}")
    return [
        # The shortest text that gives the same float32: 0.1, not 0.10000000149.
        (str(path), [(label, float(str(distance))) for label, distance in zip(row, found, strict=True)])
        for path, row, found in zip(images, labels, values, strict=True)
    ]


@contextmanager
def _replacing(path: Path) -> Iterator[TextIO]:
    """Open a text file that takes its place once all is written, or not at all."""
    try:
        # Names of image files may hold bytes that aren't UTF-8: they are written as they are.
        with (
            replacing(Path(path)) as temporary,
            temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            yield file
    except OSError as error:
        raise StorageError(
            f"{path} can't be written: {error.strerror or error}",
            next_step="free some disk space, or choose another folder with --results-root",
        ) from error
