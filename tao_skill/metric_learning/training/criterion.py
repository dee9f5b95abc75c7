"""What is minimised: a metric-learning loss over mined pairs, with or without a memory of earlier batches."""

from typing import Any

import torch
from pytorch_metric_learning.losses import CrossBatchMemory, TripletMarginLoss
from pytorch_metric_learning.utils.loss_and_miner_utils import get_all_pairs_indices
from torch import Tensor, nn

from tao_skill.config.loss import LOSSES_WITH_WEIGHTS
from tao_skill.config.train import Train
from tao_skill.metric_learning.training.losses import build_loss, start_class_vectors
from tao_skill.metric_learning.training.miners import Indices, as_triplets, build_miner, without_self

__all__ = ["AUTOMATIC_MEMORY", "Criterion", "build_criterion", "memory_size"]

AUTOMATIC_MEMORY = 1024


def memory_size(requested: int, batch_size: int, num_instance: int, num_images: int) -> int:
    """Return how many embeddings are kept: of earlier batches as many as are requested, and the newest batch.

    -1 asks for the automatic choice. A batch of fewer than two classes has no negatives, and one image of each class no
    positives: then earlier batches have to provide them. More of them than there are images would only be older
    embeddings of the same ones.
    """
    earlier = requested
    if requested < 0:
        needed = batch_size // num_instance < 2 or num_instance < 2
        earlier = min(AUTOMATIC_MEMORY, num_images) if needed else 0
    return earlier + batch_size if earlier else 0


class Criterion(nn.Module):
    """Compute the loss of a batch of embeddings (batch, embed_dim) with labels (batch,).

    Only losses that compare images with each other take a miner and a memory. The state dict holds the memory and the
    loss's own weights, so that a resumed training sees the same negatives.
    """

    def __init__(self, loss: nn.Module, miner: nn.Module | None, memory: int, embed_dim: int) -> None:
        super().__init__()
        self.loss = loss
        self.miner = miner
        self.memory = _Memory(loss, embed_dim, memory_size=memory, miner=miner) if memory else None

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss; 0 where pairs are compared and batch and memory hold one class."""
        if self.memory is not None:
            loss: Tensor = self.memory(embeddings, labels)
        else:
            found = self.miner(embeddings, labels) if self.miner is not None else None
            loss = self.loss(embeddings, labels, found if found is None else _as_compared(self.loss, found))
        return loss

    @property
    def has_weights(self) -> bool:
        """Tell whether the loss learns weights of its own."""
        return any(True for _ in self.loss.parameters())

    @torch.no_grad()
    def start_from(self, embeddings: Tensor, labels: Tensor) -> None:
        """Let embeddings (count, embed_dim) of training images fill the memory, or place the class vectors."""
        if self.memory is not None:
            newest = slice(-self.memory.memory_size, None)
            self.memory.add_to_memory(embeddings[newest], labels[newest], len(embeddings[newest]))
        if self.has_weights:
            start_class_vectors(self.loss, embeddings, labels)

    @torch.no_grad()
    def loss_if_alike(self, embedding: Tensor, classes: int, instances: int) -> float:
        """Return the loss of a batch of so many classes and images of each that all have one embedding (embed_dim,)."""
        labels = torch.arange(classes, device=embedding.device).repeat_interleave(instances)
        return float(self.loss(embedding.expand(len(labels), -1).contiguous(), labels))

    def get_extra_state(self) -> dict[str, Any]:
        """Return where the memory's next entry goes: the library keeps that beside its buffers."""
        memory = self.memory
        return {} if memory is None else {"next": memory.queue_idx, "full": bool(memory.has_been_filled)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what get_extra_state returned."""
        if self.memory is not None and state:
            self.memory.queue_idx = state["next"]
            self.memory.has_been_filled = state["full"]


def build_criterion(
    train: Train,
    *,
    num_instance: int,
    num_images: int,
    num_classes: int,
    embed_dim: int,
    seed: int,
    processes: int = 1,
) -> Criterion:
    """Return the criterion of a spec for a training set of so many images and classes, drawn by so many processes."""
    loss = build_loss(train, num_classes, embed_dim, seed)
    if train.loss.name in LOSSES_WITH_WEIGHTS:
        return Criterion(loss, None, 0, embed_dim)
    memory = memory_size(train.cross_batch_memory_size, train.batch_size * processes, num_instance, num_images)
    return Criterion(loss, build_miner(train), memory, embed_dim)


class _Memory(CrossBatchMemory):  # type: ignore[misc]
    """The library's memory, which finds the triplets of its pairs as this project does."""

    def create_indices_tuple(
        self, embeddings: Tensor, labels: Tensor, held: Tensor, held_labels: Tensor, *_: Any
    ) -> Indices:
        """Return indices into a batch and the memory, none of which compares an image with itself.

        The memory holds the batch already. Miners are told where, since an image is its own nearest positive; the
        library takes its own pairs away only after they have mined, and of a batch of one image it doesn't.
        """
        if self.miner is None:
            found = without_self(get_all_pairs_indices(labels, held_labels), self.curr_batch_idx)
        else:
            found = self.miner(embeddings, labels, held, held_labels, own=self.curr_batch_idx)
        return _as_compared(self.loss, found)


def _as_compared(loss: nn.Module, found: Indices) -> Indices:
    """Return what a miner found as the loss compares it."""
    return as_triplets(found) if isinstance(loss, TripletMarginLoss) and len(found) == 4 else found
