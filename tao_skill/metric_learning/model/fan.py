"""The hybrid Fully Attentional Network: a ConvNeXt stem, then attention over places and over channels.

Zhou et al. 2022, "Understanding the Robustness in Vision Transformers", https://arxiv.org/abs/2204.12451. Modules carry
the names of published checkpoints. Shapes: ``(batch, places, dim)`` for tokens, where places = height x width of the
grid, a sixteenth of the image's.
"""

import math
from dataclasses import dataclass

import torch
from timm.layers.norm import LayerNorm, LayerNorm2d
from timm.models.convnext import ConvNeXtStage
from timm.models.xcit import ClassAttentionBlock, PositionalEncodingFourier
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["FAN_SIZES", "Fan", "FanSize"]

_STEM_DIMS = (128, 256)
_MLP_RATIO = 4
_CLASS_BLOCKS = 2


@dataclass(frozen=True)
class FanSize:
    """What tells the sizes of the paper apart; ``stem_depths`` are the blocks of the two stages of the stem."""

    dim: int
    depth: int
    heads: int
    stem_depths: tuple[int, int] = (3, 3)


FAN_SIZES = {
    "fan_tiny": FanSize(192, 8, 8),
    "fan_small": FanSize(384, 10, 8),
    "fan_base": FanSize(448, 16, 8),
    "fan_large": FanSize(480, 22, 10, stem_depths=(3, 5)),
}


class Fan(nn.Module):
    """Map images (batch, channels, height, width) of 16 pixels and more to class tokens (batch, dim)."""

    def __init__(self, size: FanSize, input_channels: int) -> None:
        super().__init__()
        self.patch_embed = _PatchEmbedding(input_channels, size)
        self.pos_embed = PositionalEncodingFourier(dim=size.dim)
        self.blocks = nn.ModuleList(_Block(size.dim, size.heads) for _ in range(size.depth))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, size.dim))
        self.cls_attn_blocks = nn.Sequential(
            *(
                ClassAttentionBlock(
                    size.dim, size.heads, qkv_bias=True, norm_layer=LayerNorm, eta=1.0, tokens_norm=True
                )
                for _ in range(_CLASS_BLOCKS)
            )
        )
        self.norm = LayerNorm(size.dim)
        self.apply(_initialise)
        nn.init.trunc_normal_(self.cls_token, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        """Return class tokens (batch, dim)."""
        grid = self.patch_embed(images)
        height, width = grid.shape[2:]
        grid = grid + self.pos_embed(1, height, width)
        tokens = grid.flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens, height, width)
        class_token = self.cls_token.expand(tokens.shape[0], -1, -1)
        tokens = self.cls_attn_blocks(torch.cat([class_token, tokens], dim=1))
        features: Tensor = self.norm(tokens[:, 0])
        return features


class _Stem(nn.Module):
    """The first two stages of a ConvNeXt: an eighth of the image's height and width."""

    def __init__(self, input_channels: int, depths: tuple[int, int]) -> None:
        super().__init__()
        first, second = _STEM_DIMS
        self.stem = nn.Sequential(nn.Conv2d(input_channels, first, 4, stride=4), LayerNorm2d(first))
        self.stages = nn.Sequential(
            _stage(first, first, depths[0], stride=1), _stage(first, second, depths[1], stride=2)
        )

    def forward(self, images: Tensor) -> Tensor:
        grid: Tensor = self.stages(self.stem(images))
        return grid


class _SampleNorm2d(LayerNorm2d):
    """LayerNorm over the channels of (batch, channels, height, width) that divides by the sample's variance.

    Published weights were trained so in the stages, though not in the stem: sums of squares over n - 1, not n. The
    difference is small but shows in the third digit of the features. Here it is folded into weight and epsilon.
    """

    def forward(self, grid: Tensor) -> Tensor:
        share = 1 - 1 / self.weight.shape[0]
        scale = self.weight * math.sqrt(share)
        places_first = grid.permute(0, 2, 3, 1)
        normed = F.layer_norm(places_first, self.normalized_shape, scale, self.bias, self.eps * share)
        return normed.permute(0, 3, 1, 2)


class _PatchEmbedding(nn.Module):
    """Turn images into a grid (batch, dim, height / 16, width / 16), what is left over at the edges not counted."""

    def __init__(self, input_channels: int, size: FanSize) -> None:
        super().__init__()
        self.backbone = _Stem(input_channels, size.stem_depths)
        self.proj = nn.Conv2d(_STEM_DIMS[1], size.dim, 2, stride=2)

    def forward(self, images: Tensor) -> Tensor:
        grid: Tensor = self.proj(self.backbone(images))
        return grid


class _Block(nn.Module):
    """Mix the places, then weigh the channels; both steps are added to their input, scaled per channel."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm(dim)
        self.attn = _PlaceAttention(dim, heads)
        self.norm2 = LayerNorm(dim)
        self.mlp = _ChannelAttention(dim, heads)
        self.gamma1, self.gamma2 = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.ones(dim))

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        tokens = tokens + self.gamma1 * self.attn(self.norm1(tokens))
        weighed: Tensor = tokens + self.gamma2 * self.mlp(self.norm2(tokens), height, width)
        return weighed


class _PlaceAttention(nn.Module):
    """Multi-head self-attention over the places."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.kv, self.proj = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = (
            torch.unflatten(part, 2, (self.heads, -1)).transpose(1, 2)
            for part in (self.q(tokens), *self.kv(tokens).chunk(2, dim=2))
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        projected: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return projected


class _ChannelAttention(nn.Module):
    """Process each place, then weigh every channel by how well it agrees with its head over the places.

    The paper's efficient channel attention: instead of channels against channels, each channel of the query is
    compared with its head's mean channel, both normalised over the places, so the cost is linear in channels.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.mlp_v = _LocalMlp(dim, _MLP_RATIO * dim)
        # Published weights were trained with PyTorch's own epsilon here, unlike in the other norms.
        self.norm_v = nn.LayerNorm(dim)
        self.q = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        query = torch.unflatten(self.q(tokens).softmax(dim=1), 2, (self.heads, -1))
        key = torch.unflatten(tokens.softmax(dim=1), 2, (self.heads, -1)).mean(dim=3, keepdim=True)
        weights: Tensor = (query * key).sum(dim=1, keepdim=True).sigmoid() * self.temperature.squeeze(2)
        values: Tensor = self.norm_v(self.mlp_v(tokens, height, width))
        return weights.flatten(2) * values


class _LocalMlp(nn.Module):
    """A two-layer perceptron whose only non-linearity looks at neighbouring places."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.dwconv = _NeighbourConvolution(hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.gamma = nn.Parameter(torch.ones(hidden))

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        hidden = self.fc1(tokens)
        projected: Tensor = self.fc2(hidden + self.gamma * self.dwconv(hidden, height, width))
        return projected


class _NeighbourConvolution(nn.Module):
    """Two 3x3 convolutions of each channel by itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.bn = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        grid = torch.unflatten(tokens.transpose(1, 2), 2, (height, width))
        mixed: Tensor = self.conv2(self.bn(F.gelu(self.conv1(grid))))
        return mixed.flatten(2).transpose(1, 2)


def _stage(in_channels: int, out_channels: int, depth: int, stride: int) -> nn.Module:
    stage: nn.Module = ConvNeXtStage(
        in_channels,
        out_channels,
        stride=stride,
        depth=depth,
        ls_init_value=1e-6,
        conv_mlp=True,
        norm_layer=_SampleNorm2d,
    )
    return stage


def _initialise(layer: nn.Module) -> None:
    """Draw a layer's weights: by its outputs for a convolution of single channels, else from a narrow normal."""
    if isinstance(layer, nn.Linear | nn.Conv2d):
        if isinstance(layer, nn.Conv2d) and layer.groups > 1:
            nn.init.normal_(layer.weight, std=math.sqrt(2 / math.prod(layer.kernel_size)))
        else:
            nn.init.trunc_normal_(layer.weight, std=0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
