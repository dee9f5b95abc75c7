"""The miners, by their names in the spec: which pairs or triplets of a batch the loss sees."""

from collections.abc import Callable

import torch
from pytorch_metric_learning import miners
from pytorch_metric_learning.utils.loss_and_miner_utils import get_all_pairs_indices
from torch import Tensor, nn

from tao_skill.config.train import Train

__all__ = ["PersistentMiner", "build_miner"]

# Anchors, positives, negatives; or anchors and positives, anchors and negatives.
Indices = tuple[Tensor, ...]


class PersistentMiner(nn.Module):
    """Mine with a miner and, where it finds nothing to learn from, take all pairs.

    A batch without a hard pair would have a loss of exactly 0 and teach nothing, although the smooth loss can still
    push classes apart.
    """

    def __init__(self, miner: nn.Module) -> None:
        super().__init__()
        self.miner = miner

    def forward(
        self, embeddings: Tensor, labels: Tensor, ref_emb: Tensor | None = None, ref_labels: Tensor | None = None
    ) -> Indices:
        """Return indices into the batch (batch, embed_dim) and the references, which are the batch if not given."""
        found: Indices = self.miner(embeddings, labels, ref_emb, ref_labels)
        with_positive, with_negative = (found[0], found[0]) if len(found) == 3 else (found[0], found[2])
        if torch.isin(with_positive, with_negative).any():
            return found
        everything: Indices = get_all_pairs_indices(labels, ref_labels)
        return everything


def build_miner(train: Train) -> nn.Module | None:
    """Return the miner of a spec; None where all pairs count."""
    kinds: dict[str, Callable[[], nn.Module]] = {
        "multi_similarity": lambda: miners.MultiSimilarityMiner(epsilon=train.optim.miner_function_margin),
        "triplet_margin": lambda: miners.TripletMarginMiner(
            margin=train.miner.triplet_margin, type_of_triplets=train.miner.triplet_kind
        ),
        "batch_hard": miners.BatchHardMiner,
    }
    return PersistentMiner(kinds[train.miner.name]()) if train.miner.name in kinds else None
