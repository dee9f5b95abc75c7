"""From image files to embeddings, with any engine."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from tao_skill.metric_learning.data.batches import Batches, in_order, usable_workers
from tao_skill.metric_learning.data.dataset import EvalImages
from tao_skill.metric_learning.data.pixels import PixelSource
from tao_skill.metric_learning.engines.embedder import Embeds
from tao_skill.metric_learning.progress import Progress

__all__ = ["embed_images"]


def embed_images(
    embedder: Embeds,
    paths: Sequence[Path],
    *,
    batch_size: int,
    workers: int,
    pixels: PixelSource | None = None,
) -> Tensor:
    """Return the embeddings of images, (num_images, embed_dim), float32 on the CPU, in the order of the paths.

    Raises:
        DataError: an image can't be decoded.
    """
    batches = Batches(
        EvalImages(paths, embedder.transform, pixels),
        in_order(len(paths), batch_size),
        usable_workers(workers, len(paths)),
        pin_memory=torch.cuda.is_available(),
    )
    embeddings = []
    with Progress("images embedded", len(paths)) as progress:
        for images, _, _ in batches:
            embeddings.append(embedder.embed(images))
            progress.add(len(images))
    return torch.cat(embeddings)
