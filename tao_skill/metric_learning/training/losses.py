"""The losses, by their names in the spec, and the class vectors that some of them learn."""

from collections.abc import Callable

import torch
from pytorch_metric_learning import losses
from torch import Tensor, nn
from torch.nn.functional import normalize

from tao_skill.config.loss import LOSSES_WITH_WEIGHTS, Loss
from tao_skill.config.train import Train

__all__ = ["build_loss", "class_vectors", "start_class_vectors"]

# Vectors of one class must differ, or only the first of them would ever be the nearest.
_SPREAD_OF_A_CLASS = 0.5


def build_loss(train: Train, num_classes: int, embed_dim: int, seed: int) -> nn.Module:
    """Return the loss of a spec; class vectors start with a length of 1 in directions that depend on the seed alone."""
    pair_losses: dict[str, Callable[[Loss], nn.Module]] = {
        "triplet": lambda _: losses.TripletMarginLoss(
            margin=train.optim.triplet_loss_margin, smooth_loss=train.smooth_loss
        ),
        "contrastive": lambda s: losses.ContrastiveLoss(
            pos_margin=s.contrastive.positive_margin, neg_margin=s.contrastive.negative_margin
        ),
        "multi_similarity": lambda s: losses.MultiSimilarityLoss(
            alpha=s.multi_similarity.alpha, beta=s.multi_similarity.beta, base=s.multi_similarity.base
        ),
        "supcon": lambda s: losses.SupConLoss(temperature=s.supcon.temperature),
        "ntxent": lambda s: losses.NTXentLoss(temperature=s.ntxent.temperature),
        "circle": lambda s: losses.CircleLoss(m=s.circle.relaxation, gamma=s.circle.scale),
    }
    if train.loss.name not in LOSSES_WITH_WEIGHTS:
        return pair_losses[train.loss.name](train.loss)
    loss = _loss_with_weights(train.loss, num_classes, embed_dim)
    vectors = class_vectors(loss)
    drawn = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(seed))
    vectors.copy_(normalize(drawn, dim=-1))
    return loss


def _loss_with_weights(settings: Loss, num_classes: int, embed_dim: int) -> nn.Module:
    size = {"num_classes": num_classes, "embedding_size": embed_dim}
    if settings.name == "arcface":
        own = settings.arcface
        loss: nn.Module = losses.ArcFaceLoss(margin=own.margin, scale=own.scale, **size)
    elif settings.name == "subcenter_arcface":
        sub = settings.subcenter_arcface
        loss = losses.SubCenterArcFaceLoss(margin=sub.margin, scale=sub.scale, sub_centers=sub.sub_centers, **size)
    elif settings.name == "proxy_anchor":
        loss = losses.ProxyAnchorLoss(margin=settings.proxy_anchor.margin, alpha=settings.proxy_anchor.alpha, **size)
    else:
        soft = settings.soft_triple
        loss = losses.SoftTripleLoss(
            centers_per_class=soft.centers_per_class,
            la=soft.scale,
            gamma=soft.temperature,
            margin=soft.margin,
            **size,
        )
    return loss


def class_vectors(loss: nn.Module) -> Tensor:
    """Return a view of a loss's class vectors, (num_classes, vectors_per_class, embed_dim)."""
    (weights,) = loss.parameters()
    rows = weights.detach() if isinstance(loss, losses.ProxyAnchorLoss) else weights.detach().T
    num_classes: int = loss.num_classes  # type: ignore[assignment]
    return torch.unflatten(rows, 0, (num_classes, -1))


@torch.no_grad()
def start_class_vectors(loss: nn.Module, embeddings: Tensor, labels: Tensor) -> None:
    """Point class vectors where their classes are; classes without an embedding keep their random directions.

    ``embeddings`` (num_images, embed_dim) belong to ``labels`` (num_images,). Random vectors would first pull apart
    what a pretrained trunk knows.
    """
    vectors = class_vectors(loss)
    classes = torch.unique(labels)
    unit = normalize(embeddings.to(vectors.device), dim=1)
    where = labels.to(vectors.device)
    for label in classes.tolist():
        mean = normalize(unit[where == label].mean(dim=0), dim=0)
        several = vectors.shape[1] > 1
        vectors[label] = normalize(mean + (_SPREAD_OF_A_CLASS * vectors[label] if several else 0.0), dim=-1)
