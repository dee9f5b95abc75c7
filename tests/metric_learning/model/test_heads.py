"""Embedding heads."""

import math

import pytest
import torch
from torch import nn

from tao_skill.metric_learning.model.heads import LinearHead, ResidualHead


@pytest.mark.parametrize("head", [LinearHead, ResidualHead])
@pytest.mark.parametrize("embed_dim", [1, 3, 6, 11])
def test_embeddings_have_the_asked_length(head: type[nn.Module], embed_dim: int) -> None:  # R39, 8.9
    assert head(6, embed_dim)(torch.randn(2, 6)).shape == (2, embed_dim)


@pytest.mark.parametrize("head", [LinearHead, ResidualHead])
def test_a_wide_head_starts_by_keeping_angles_between_features(head: type[nn.Module]) -> None:
    features = torch.randn(4, 6)
    embeddings = head(6, 8)(features).detach()
    if head is ResidualHead:
        features = nn.functional.layer_norm(features, (6,))
    torch.testing.assert_close(torch.cdist(embeddings, embeddings), torch.cdist(features, features))


def test_residual_head_is_four_adaptors_in_a_row_then_norm_and_projection() -> None:
    head = ResidualHead(6, 2)
    for parameter in head.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(6)
    expected = x.clone()
    with torch.no_grad():
        for adaptor in (head.classifier_feat, head.classifier_feat2, head.classifier_feat3, head.classifier_feat4):
            hidden = adaptor[0].weight @ expected + adaptor[0].bias
            hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
            expected = expected + adaptor[2].weight @ hidden + adaptor[2].bias
        norm, projection = head.embedding_fc
        expected = (expected - expected.mean()) / torch.sqrt(expected.var(correction=0) + norm.eps)
        expected = projection.weight @ (expected * norm.weight + norm.bias) + projection.bias
        torch.testing.assert_close(head(x[None])[0], expected)


def test_all_parameters_of_the_residual_head_learn() -> None:
    head = ResidualHead(6, 3)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    start = {name: parameter.detach().clone() for name, parameter in head.named_parameters()}
    for _ in range(2):  # first layers learn once the second ones have left zero
        optimizer.zero_grad()
        head(torch.randn(8, 6)).square().sum().backward()
        optimizer.step()
    assert not [name for name, parameter in head.named_parameters() if torch.equal(parameter, start[name])]
