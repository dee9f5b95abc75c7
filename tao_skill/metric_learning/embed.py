"""From image files to embeddings, with any engine."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tao_skill.metric_learning.data.dataset import EvalImages, limit_threads
from tao_skill.metric_learning.engines.embedder import Embeds
from tao_skill.metric_learning.progress import Progress

__all__ = ["embed_images", "usable_workers"]


def usable_workers(requested: int, num_images: int, batch_size: int) -> int:
    """Return how many loading processes pay: no more than processors or batches, none for a handful of images."""
    batches = -(-num_images // batch_size)
    return min(requested, os.cpu_count() or 1, batches) if num_images > 64 else 0


def embed_images(embedder: Embeds, paths: Sequence[Path], *, batch_size: int, workers: int) -> Tensor:
    """Return the embeddings of images, (num_images, embed_dim), float32 on the CPU, in the order of the paths.

    Raises:
        DataError: an image can't be decoded.
    """
    loader = DataLoader(
        EvalImages(paths, embedder.transform),
        batch_size=batch_size,
        num_workers=usable_workers(workers, len(paths), batch_size),
        worker_init_fn=limit_threads,
        pin_memory=torch.cuda.is_available(),
    )
    embeddings = []
    with Progress("images embedded", len(paths)) as progress:
        for images, _ in loader:
            embeddings.append(embedder.embed(images))
            progress.add(len(images))
    return torch.cat(embeddings)
