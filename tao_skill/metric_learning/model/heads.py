"""Embedding heads: from a trunk's features to the vector that is compared."""

import torch
from torch import Tensor, nn

__all__ = ["LinearHead"]


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

    @torch.no_grad()
    def start_from(self, weight: Tensor, bias: Tensor) -> None:
        """Take over a projection: weight (embed_dim, trunk_dim) and bias (embed_dim,)."""
        self.last_linear.weight.copy_(weight)
        self.last_linear.bias.copy_(bias)

    def forward(self, features: Tensor) -> Tensor:
        """Project features of shape (batch, trunk_dim)."""
        embeddings: Tensor = self.net(features)
        return embeddings
