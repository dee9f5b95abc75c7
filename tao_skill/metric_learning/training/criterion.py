"""What is minimised: a metric-learning loss over mined pairs, with or without a memory of earlier batches."""

from typing import Any

import torch
from pytorch_metric_learning.losses import CrossBatchMemory, TripletMarginLoss
from pytorch_metric_learning.miners import MultiSimilarityMiner
from pytorch_metric_learning.utils.loss_and_miner_utils import get_all_pairs_indices
from torch import Tensor, nn
from torch.nn.functional import normalize

__all__ = ["AUTOMATIC_MEMORY", "Criterion", "memory_size", "spread"]

AUTOMATIC_MEMORY = 1024
Pairs = tuple[Tensor, Tensor, Tensor, Tensor]


def memory_size(requested: int, batch_size: int, num_instance: int, num_images: int) -> int:
    """Return how many embeddings of earlier batches are kept; -1 asks for the automatic choice.

    A batch of fewer than two classes has no negatives: then the memory has to provide them. A memory larger than the
    training set would only hold older embeddings of the same images.
    """
    if requested < 0:
        wanted = AUTOMATIC_MEMORY if batch_size // num_instance < 2 else 0
        return min(wanted, max(num_images, batch_size))
    return max(requested, batch_size) if requested else 0


@torch.no_grad()
def spread(embeddings: Tensor) -> float:
    """Return 1 - |mean unit embedding|² of embeddings (count, embed_dim): 0 where all are alike, at most 1."""
    return float(1 - normalize(embeddings, dim=1).mean(dim=0).square().sum())


class PersistentMiner(MultiSimilarityMiner):  # type: ignore[misc]
    """Mine hard pairs and, where none is hard any more, all pairs.

    A batch without a hard pair would have a loss of exactly 0 and teach nothing, although the smooth loss can still
    push classes apart.
    """

    def mine(self, embeddings: Tensor, labels: Tensor, ref_emb: Tensor, ref_labels: Tensor) -> Pairs:
        """Return anchors and positives, anchors and negatives, as indices into the batch and the references."""
        pairs: Pairs = super().mine(embeddings, labels, ref_emb, ref_labels)
        with_positive, _, with_negative, _ = pairs
        if torch.isin(with_positive, with_negative).any():
            return pairs
        everything: Pairs = get_all_pairs_indices(labels, None if ref_emb is embeddings else ref_labels)
        return everything


class Criterion(nn.Module):
    """Compute the smooth or plain triplet loss of a batch of embeddings (batch, embed_dim) with labels (batch,).

    The state dict holds the memory, so that a resumed training sees the same negatives.
    """

    def __init__(self, *, margin: float, smooth: bool, miner_margin: float, memory: int, embed_dim: int) -> None:
        super().__init__()
        self.loss = TripletMarginLoss(margin=margin, smooth_loss=smooth)
        self.miner = PersistentMiner(epsilon=miner_margin)
        self.memory = CrossBatchMemory(self.loss, embed_dim, memory_size=memory, miner=self.miner) if memory else None

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss over the mined triplets; 0 where a batch and the memory hold one class."""
        if self.memory is not None:
            loss: Tensor = self.memory(embeddings, labels)
        else:
            loss = self.loss(embeddings, labels, self.miner(embeddings, labels))
        return loss

    @torch.no_grad()
    def remember(self, embeddings: Tensor, labels: Tensor) -> None:
        """Put embeddings into the memory, so that the first batch has negatives already."""
        if self.memory is not None:
            self.memory.add_to_memory(embeddings, labels, len(embeddings))

    def remembered(self, embeddings: Tensor) -> Tensor:
        """Return the memory's embeddings or, where there is no memory, the ones given, both (count, embed_dim)."""
        if self.memory is None:
            return embeddings
        entries: Tensor = self.memory.embedding_memory
        return entries if self.memory.has_been_filled else entries[: self.memory.queue_idx]

    def get_extra_state(self) -> dict[str, Any]:
        """Return where the memory's next entry goes: the library keeps that beside its buffers."""
        memory = self.memory
        return {} if memory is None else {"next": memory.queue_idx, "full": bool(memory.has_been_filled)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what get_extra_state returned."""
        if self.memory is not None and state:
            self.memory.queue_idx = state["next"]
            self.memory.has_been_filled = state["full"]
