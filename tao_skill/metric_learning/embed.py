"""From image files to embeddings, with any network."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tao_skill.metric_learning.data.dataset import EvalImages, limit_threads
from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.progress import Progress

__all__ = ["embed_images", "usable_workers"]


def usable_workers(requested: int, num_images: int, batch_size: int) -> int:
    """Return how many loading processes pay: no more than processors or batches, none for a handful of images."""
    batches = -(-num_images // batch_size)
    return min(requested, os.cpu_count() or 1, batches) if num_images > 64 else 0


def embed_images(
    network: nn.Module,
    paths: Sequence[Path],
    transform: EvalTransform,
    *,
    batch_size: int,
    workers: int,
    device: torch.device,
    evaluate: bool = True,
) -> Tensor:
    """Return the embeddings of images, (num_images, embed_dim), float32 on the CPU, in the order of the paths.

    The network computes in evaluation mode, which is undone afterwards; ``evaluate`` False leaves its mode alone.

    Raises:
        DataError: an image can't be decoded.
    """
    loader = DataLoader(
        EvalImages(paths, transform),
        batch_size=batch_size,
        num_workers=usable_workers(workers, len(paths), batch_size),
        worker_init_fn=limit_threads,
        pin_memory=device.type == "cuda",
    )
    modes = {module: module.training for module in network.modules()}
    if evaluate:
        network.eval()
    embeddings = []
    try:
        with torch.inference_mode(), Progress("images embedded", len(paths)) as progress:
            for images, _ in loader:
                pixels = images.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
                embeddings.append(network(pixels).float().cpu())
                progress.add(len(images))
    finally:
        for module, training in modes.items():
            module.training = training
    return torch.cat(embeddings)
