"""Trunks: networks that turn images into features."""

import difflib
from typing import Any

import timm
import torch
from torch import nn

from tao_skill.errors import NotAvailableError, Problem, SpecError

__all__ = ["build_trunk", "trunk_dim"]

# timm's residual networks have the tensor names of published checkpoints.
_RESIDUAL = {"resnet_50": "resnet50", "resnet_101": "resnet101"}


def build_trunk(
    *, backbone: str, timm_name: str, input_width: int, input_height: int, input_channels: int
) -> nn.Module:
    """Return a trunk with random weights that maps (batch, channels, height, width) to (batch, trunk_dim).

    Raises:
        SpecError: timm has no model of that name.
        NotAvailableError: this version can't build the backbone.
    """
    name = timm_name or _RESIDUAL.get(backbone, "")
    if not name:
        raise NotAvailableError(
            f"model.backbone = {backbone!r} can't be built by this version.",
            next_step=f"use one of {', '.join(_RESIDUAL)}, or any timm model through model.timm_name",
        )
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"a model of the timm library, such as {', '.join(near)}" if near else "a model of the timm library"
        raise SpecError(f"There is no timm model {name!r}.", problems=[Problem("model.timm_name", name, hint)])
    settings: dict[str, Any] = {"pretrained": False, "num_classes": 0, "in_chans": input_channels}
    published = timm.get_pretrained_cfg(name)
    if published is not None and published.fixed_input_size:
        # Transformers fix the number of their position embeddings when they are built.
        settings["img_size"] = (input_height, input_width)
    trunk: nn.Module = timm.create_model(name, **settings)
    return trunk


def trunk_dim(trunk: nn.Module, input_channels: int, input_height: int, input_width: int) -> int:
    """Return the number of features that a trunk really puts out, by asking it: its attributes differ by family."""
    was_training = trunk.training
    trunk.eval()
    with torch.no_grad():
        features = trunk(torch.zeros(1, input_channels, input_height, input_width))
    trunk.train(was_training)
    if features.ndim != 2:
        raise SpecError(
            "The trunk's output is no feature vector.",
            problems=[
                Problem("model.timm_name", tuple(features.shape), "a model whose pooled output is (batch, features)")
            ],
        )
    return int(features.shape[1])
