"""Retrieval and cluster metrics, in the table's form."""

import sys
from typing import Any

from tools.bench.processes import answer_of
from tools.bench.table import Row, pairs

__all__ = ["retrieval_rows"]


def retrieval_rows(rounds: int, threads: int) -> list[Row]:
    """Compare metrics of 20,000 × 20,000 embeddings of 256 numbers and 2,000 classes with the library's."""
    speed = Row("retrieval metrics, 20,000 × 20,000, per class", "per s", 1.5)
    memory = Row("peak memory of that", "MB", 0.5, at_most=True)
    clusters = Row("AMI and NMI of 20,000", "per s", 1.0)
    for names, rows in ((("ours", "theirs"), (speed, memory)), (("our clusters", "their clusters"), (clusters,))):

        def measure(side: int, names: tuple[str, str] = names, rows: tuple[Row, ...] = rows) -> None:
            found = _worker(names[side], threads)
            for row, value in zip(rows, (1 / found["seconds"], found["peak_mb"]), strict=False):
                (row.theirs if side else row.ours).append(value)

        pairs(rounds, lambda measure=measure: measure(0), lambda measure=measure: measure(1))  # type: ignore[misc]
    return [speed, memory, clusters]


def _worker(name: str, threads: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tools.bench.retrieval", "--worker", name]
    found: dict[str, Any] = answer_of(command, {"OMP_NUM_THREADS": str(threads)})
    return found
