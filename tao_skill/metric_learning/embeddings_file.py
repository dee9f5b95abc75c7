"""Write embeddings to a Parquet file, for whoever wants to look at them with other tools."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from tao_skill.errors import NotAvailableError, Problem, StorageError
from tao_skill.installation import install_command
from tao_skill.metric_learning.files import replacing

__all__ = ["FILE_NAME", "EmbeddedSet", "check_can_write", "write_embeddings"]

FILE_NAME = "embeddings.parquet"
_ROWS_PER_GROUP = 16_384


@dataclass(frozen=True)
class EmbeddedSet:
    """Images of one kind: their names, their classes (None: not known), and embeddings ``(num_images, embed_dim)``."""

    kind: str
    names: Sequence[str]
    labels: Sequence[str] | None
    embeddings: Tensor


def check_can_write(wanted: bool, key: str) -> None:
    """Refuse, before anything is embedded, what can't be written afterwards; ``key`` is the setting that wants it.

    Raises:
        NotAvailableError: pyarrow isn't installed.
    """
    if not wanted:
        return
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise NotAvailableError(
            "Writing Parquet needs pyarrow, which is not installed.",
            problems=[Problem(key, True, "false without pyarrow")],
            next_step=install_command("gallery"),
        ) from error


def write_embeddings(path: Path, sets: Sequence[EmbeddedSet], fingerprint: str) -> None:
    """Write columns ``set``, ``path``, ``label`` and ``embedding`` (float32, as the model gives them, a list of
    embed_dim); the file's metadata names the model's fingerprint.

    Raises:
        StorageError: the file can't be written.
    """
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    width = sets[0].embeddings.shape[1]
    schema = arrow.schema(
        [
            ("set", arrow.string()),
            ("path", arrow.string()),
            ("label", arrow.string()),
            ("embedding", arrow.list_(arrow.float32(), width)),
        ],
        metadata={"fingerprint": fingerprint},
    )
    try:
        with replacing(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
            for images in sets:
                for start in range(0, len(images.names), _ROWS_PER_GROUP):
                    writer.write_table(_table(arrow, schema, images, slice(start, start + _ROWS_PER_GROUP), width))
    except OSError as error:
        raise StorageError(
            f"{path} can't be written: {error.strerror or error}",
            next_step="free some disk space, or choose another folder with --results-root",
        ) from error


def _table(arrow: Any, schema: Any, images: EmbeddedSet, rows: slice, width: int) -> Any:
    # Names of files may hold bytes that aren't UTF-8, which Parquet's strings can't.
    names = [name.encode("utf-8", "backslashreplace").decode() for name in images.names[rows]]
    labels = [None] * len(names) if images.labels is None else list(images.labels[rows])
    flat = np.ascontiguousarray(images.embeddings[rows].numpy(), dtype=np.float32).reshape(-1)
    vectors = arrow.FixedSizeListArray.from_arrays(arrow.array(flat), width)
    columns = [
        arrow.array([images.kind] * len(names)),
        arrow.array(names),
        arrow.array(labels, arrow.string()),
        vectors,
    ]
    return arrow.Table.from_arrays(columns, schema=schema)
