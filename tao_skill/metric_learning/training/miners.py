"""The miners, by their names in the spec: which pairs or triplets of a batch the loss sees."""

from collections.abc import Callable

import torch
from pytorch_metric_learning import miners
from pytorch_metric_learning.utils.loss_and_miner_utils import get_all_pairs_indices
from torch import Tensor, nn
from torch.nn.functional import normalize

from tao_skill.config.train import Train

__all__ = ["PersistentMiner", "as_triplets", "build_miner", "mean_gap", "without_self"]

# Anchors, positives, negatives; or anchors and positives, anchors and negatives.
Indices = tuple[Tensor, ...]


class PersistentMiner(nn.Module):
    """Mine with a miner once the classes are apart, and take all pairs before and where the miner finds nothing.

    While the average triplet of a batch breaks the margin, hard pairs are the rule: to have lost least by them, all
    embeddings need only become alike, and hard mining from random weights ends there. All pairs push classes apart
    first. A batch without a hard pair would have a loss of exactly 0 and teach nothing, although the smooth loss can
    still push classes apart.
    """

    def __init__(self, miner: nn.Module, margin: float = 0.0) -> None:
        super().__init__()
        self.miner = miner
        self.margin = margin

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
        own: Tensor | None = None,
    ) -> Indices:
        """Return indices into the batch (batch, embed_dim) and the references, which are the batch if not given.

        ``own`` (batch,) says which reference each embedding of the batch is itself, where they hold it.
        """
        everything = without_self(get_all_pairs_indices(labels, ref_labels), own)
        if self.margin and mean_gap(embeddings, ref_emb, everything) < self.margin:
            return everything
        found = without_self(self.miner(embeddings, labels, ref_emb, ref_labels), own)
        with_positive, with_negative = (found[0], found[0]) if len(found) == 3 else (found[0], found[2])
        if torch.isin(with_positive, with_negative).any():
            return found
        return everything


def without_self(found: Indices, own: Tensor | None) -> Indices:
    """Return pairs or triplets without those whose positive is the anchor itself, reference ``own[anchor]``."""
    if own is None:
        return found
    anchors, positives, *others = found
    kept = positives != own[anchors]
    if len(found) == 3:
        return anchors[kept], positives[kept], others[0][kept]
    return anchors[kept], positives[kept], *others


def as_triplets(pairs: Indices) -> Indices:
    """Join anchors and positives, anchors and negatives to anchors, positives, negatives, in the positives' order.

    The library would hold each positive pair against each negative one to find those of one anchor: of a batch of 2,048
    images that takes 26 GB.
    """
    anchors, positives, others, negatives = pairs
    by_anchor = others.argsort(stable=True)
    counts = others.bincount(minlength=int(anchors.max()) + 1 if len(anchors) else 0)
    partners = counts[anchors]  # negatives of each positive pair
    pair = torch.arange(len(anchors), device=anchors.device).repeat_interleave(partners)
    nth = torch.arange(len(pair), device=anchors.device) - (partners.cumsum(0) - partners)[pair]
    first = counts.cumsum(0) - counts
    return anchors[pair], positives[pair], negatives[by_anchor[first[anchors[pair]] + nth]]


@torch.no_grad()
def mean_gap(embeddings: Tensor, references: Tensor | None, pairs: Indices) -> float:
    """Return how much farther negatives are than positives on average (unit vectors, L2); nan without either.

    ``pairs`` are anchors and positives, anchors and negatives, as indices into embeddings (batch, embed_dim) and
    references (count, embed_dim), which are the embeddings if not given.
    """
    unit = normalize(embeddings, dim=1)
    others = unit if references is None else normalize(references, dim=1)
    distances = torch.cdist(unit, others)
    anchors, positives, other_anchors, negatives = pairs
    return float(distances[other_anchors, negatives].mean() - distances[anchors, positives].mean())


def build_miner(train: Train) -> nn.Module | None:
    """Return the miner of a spec; None where all pairs count."""
    kinds: dict[str, Callable[[], nn.Module]] = {
        "multi_similarity": lambda: miners.MultiSimilarityMiner(epsilon=train.optim.miner_function_margin),
        "triplet_margin": lambda: miners.TripletMarginMiner(
            margin=train.miner.triplet_margin, type_of_triplets=train.miner.triplet_kind
        ),
        "batch_hard": miners.BatchHardMiner,
    }
    if train.miner.name not in kinds:
        return None
    # Who asks for another miner or loss wants just that; other losses have no margin of this meaning either.
    waits = train.loss.name == "triplet" and train.miner.name == "multi_similarity"
    margin = train.optim.triplet_loss_margin if waits else 0.0
    return PersistentMiner(kinds[train.miner.name](), margin)
