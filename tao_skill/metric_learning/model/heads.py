"""Embedding heads: from a trunk's features to the vector that is compared."""

import torch
from torch import Tensor, nn

__all__ = ["LinearHead", "ResidualHead"]


class LinearHead(nn.Module):
    """One linear layer, (batch, trunk_dim) to (batch, embed_dim).

    Its weight starts as a random orthogonal projection, which keeps the distances between a pretrained trunk's
    features as far as embed_dim dimensions can. The layer has two names, as in published checkpoints of this
    recogniser.
    """

    def __init__(self, trunk_dim: int, embed_dim: int) -> None:
        super().__init__()
        layer = nn.Linear(trunk_dim, embed_dim)
        nn.init.orthogonal_(layer.weight)
        nn.init.zeros_(layer.bias)
        self.net = nn.Sequential(layer)
        self.last_linear = layer

    @property
    def in_features(self) -> int:
        """Return trunk_dim."""
        return self.last_linear.in_features

    @torch.no_grad()
    def start_from(self, weight: Tensor, bias: Tensor) -> None:
        """Take over a projection: weight (embed_dim, trunk_dim) and bias (embed_dim,)."""
        self.last_linear.weight.copy_(weight)
        self.last_linear.bias.copy_(bias)

    def forward(self, features: Tensor) -> Tensor:
        """Project features of shape (batch, trunk_dim)."""
        embeddings: Tensor = self.net(features)
        return embeddings


class ResidualHead(nn.Module):
    """Four residual adaptors, then a LayerNorm and a linear layer, (batch, trunk_dim) to (batch, embed_dim).

    Adaptors start as nothing and the last layer as in LinearHead, so a pretrained trunk's features go through first as
    they are. Layers have their published names.
    """

    def __init__(self, trunk_dim: int, embed_dim: int) -> None:
        super().__init__()
        self.classifier_feat = _adaptor(trunk_dim)
        self.classifier_feat2 = _adaptor(trunk_dim)
        self.classifier_feat3 = _adaptor(trunk_dim)
        self.classifier_feat4 = _adaptor(trunk_dim)
        projection = nn.Linear(trunk_dim, embed_dim)
        nn.init.orthogonal_(projection.weight)
        nn.init.zeros_(projection.bias)
        self.embedding_fc = nn.Sequential(nn.LayerNorm(trunk_dim), projection)

    def forward(self, features: Tensor) -> Tensor:
        """Project features of shape (batch, trunk_dim)."""
        features = features + self.classifier_feat(features)
        features = features + self.classifier_feat2(features)
        features = features + self.classifier_feat3(features)
        features = features + self.classifier_feat4(features)
        embeddings: Tensor = self.embedding_fc(features)
        return embeddings


def _adaptor(dim: int) -> nn.Sequential:
    last = nn.Linear(dim // 2, dim)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(dim, dim // 2), nn.GELU(), last)
