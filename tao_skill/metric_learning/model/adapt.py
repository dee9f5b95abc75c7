"""Makes published tensors fit a network that takes images of another size, or gray ones."""

from collections.abc import Mapping
from math import isqrt

from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn

__all__ = ["adapt", "in_packed_layout"]

_COLOURS = 3
# DINOv2's names for the two layers of a gated perceptron, and timm's.
_GATED_LAYERS = ((".mlp.w12.", ".mlp.fc1."), (".mlp.w3.", ".mlp.fc2."))


def in_packed_layout(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors under timm's names for gated perceptrons."""
    renamed = dict(tensors)
    for theirs, ours in _GATED_LAYERS:
        renamed = {name.replace(theirs, ours): value for name, value in renamed.items()}
    return renamed


def adapt(network: nn.Module, name: str, value: Tensor, own: Tensor, input_size: tuple[int, int] | None) -> Tensor:
    """Return a tensor of a file in the shape of the network's own, if it can be brought there; else as it is.

    ``input_size`` is the (height, width) of the images that the file's network takes, where that is known.
    """
    if _differs_in_colours_only(value, own):
        if own.shape[1] == 1:
            # A gray image is a colour image with three equal channels.
            return value.sum(dim=1, keepdim=True)
        return value.expand_as(own) / _COLOURS
    if name.rpartition(".")[2] == "pos_embed" and value.ndim == own.ndim == 3 and value.shape[2] == own.shape[2]:
        return _resample_positions(network.get_submodule(name.rpartition(".")[0]), value, own, input_size)
    return value


def _differs_in_colours_only(value: Tensor, own: Tensor) -> bool:
    return (
        value.ndim == own.ndim == 4
        and {value.shape[1], own.shape[1]} == {1, _COLOURS}
        and value.shape[0] == own.shape[0]
        and value.shape[2:] == own.shape[2:]
    )


def _resample_positions(trunk: nn.Module, value: Tensor, own: Tensor, input_size: tuple[int, int] | None) -> Tensor:
    """Resample a grid of position embeddings (1, class tokens + places, dim) to the trunk's grid."""
    patches = getattr(trunk, "patch_embed", None)
    grid, patch = getattr(patches, "grid_size", None), getattr(patches, "patch_size", None)
    if grid is None or patch is None:
        return value
    prefix = 0 if getattr(trunk, "no_embed_class", False) else int(getattr(trunk, "num_prefix_tokens", 0))
    places = value.shape[1] - prefix
    if input_size is not None:
        old = (input_size[0] // patch[0], input_size[1] // patch[1])
    elif value.shape == own.shape:
        return value
    else:
        # Published transformers take square images.
        old = (isqrt(max(places, 0)),) * 2
    if old[0] * old[1] != places or old == tuple(grid):
        return value
    resampled: Tensor = resample_abs_pos_embed(value, list(grid), list(old), num_prefix_tokens=prefix)
    return resampled
