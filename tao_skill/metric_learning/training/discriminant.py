"""A starting point for a linear embedder that is computed, not drawn: the discriminant projection.

A random projection keeps what a trunk's features have in common, which is most of their length: all embeddings start
nearly alike, and hard mining may leave them so. The projection here subtracts the mean, makes the scatter within
classes equal in all directions (so that what varies between images of one thing no longer counts), and keeps the
directions of largest scatter. It is linear discriminant analysis with a shrunken within-class covariance
(Fukunaga 1990, chapter 10; Friedman 1989 for the shrinkage).
"""

import torch
from torch import Tensor

__all__ = ["MOST_IMAGES", "discriminant_projection", "images_at_once", "shuffled"]

# Enough to estimate the covariance of some thousand features, and few enough to be quick beside an epoch.
MOST_IMAGES = 4096
_PIXELS_AT_ONCE, _FEWEST_AT_ONCE, _MOST_AT_ONCE = 2**20, 16, 512

# Share of the mean variance that is added to every direction: less fits the known classes more closely, more keeps
# what tells unknown ones apart.
SHRINKAGE = 0.5


def discriminant_projection(features: Tensor, labels: Tensor, embed_dim: int) -> tuple[Tensor, Tensor]:
    """Return weight (embed_dim, trunk_dim) and bias (embed_dim,) of the linear layer.

    ``features`` (num_images, trunk_dim) belong to ``labels`` (num_images,). Rows have a mean length of 1, as those of
    an orthogonal layer have; rows beyond trunk_dim are 0. Signs are fixed, so that the result repeats.
    """
    values = features.double()
    mean = values.mean(dim=0)
    within = _within_class_covariance(values, labels)
    if not within.any():
        # One image of each class says nothing of the scatter within classes: that of all images stands in.
        within = _covariance(values - mean)
    width = values.shape[1]
    shrink = SHRINKAGE * within.trace() / width + torch.finfo(torch.float32).tiny
    variances, directions = torch.linalg.eigh(within + shrink * torch.eye(width, dtype=torch.float64))
    whitening = directions * variances.rsqrt()
    _, axes = torch.linalg.eigh(_covariance((values - mean) @ whitening))
    projection = (whitening @ axes.flip(1)[:, :embed_dim]).T
    projection *= projection.gather(1, projection.abs().argmax(dim=1, keepdim=True)).sign()
    projection *= len(projection) / projection.norm(dim=1).sum()
    weight = torch.zeros(embed_dim, width, dtype=torch.float64)
    weight[: len(projection)] = projection
    return weight.float(), -(weight @ mean).float()


def images_at_once(height: int, width: int) -> int:
    """Return how many images of a size are embedded in one batch: more of small ones, in the same memory."""
    return min(max(_PIXELS_AT_ONCE // (height * width), _FEWEST_AT_ONCE), _MOST_AT_ONCE)


def shuffled(num_images: int, seed: int) -> list[int]:
    """Return the indices of all images in an order that depends on the seed alone."""
    order: list[int] = torch.randperm(num_images, generator=torch.Generator().manual_seed(seed)).tolist()
    return order


def _within_class_covariance(values: Tensor, labels: Tensor) -> Tensor:
    classes, members = torch.unique(labels, return_inverse=True)
    sums = torch.zeros(len(classes), values.shape[1], dtype=values.dtype).index_add_(0, members, values)
    means = sums / members.bincount().unsqueeze(1)
    return _covariance(values - means[members])


def _covariance(centred: Tensor) -> Tensor:
    return centred.T @ centred / len(centred)
