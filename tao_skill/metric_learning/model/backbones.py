"""Trunks: networks that turn images into features."""

import difflib
import importlib
import logging
from pathlib import Path
from typing import Any, cast

import timm
import torch
from torch import nn

from tao_skill.errors import NotAvailableError, Problem, SpecError

__all__ = ["build_trunk", "is_published_transformer", "trunk_dim"]

log = logging.getLogger(__name__)
# timm's residual networks have the tensor names of published checkpoints.
_RESIDUAL = {"resnet_50": "resnet50", "resnet_101": "resnet101"}
_VIT_LARGE = "nvdinov2_vit_large_legacy"


def build_trunk(
    *,
    backbone: str,
    timm_name: str,
    input_width: int,
    input_height: int,
    input_channels: int,
    timm_pretrained: bool = False,
) -> nn.Module:
    """Return a trunk that maps (batch, channels, height, width) to (batch, trunk_dim).

    Its weights are random or, with ``timm_pretrained``, those that timm publishes for it.

    Raises:
        SpecError: timm has no model of that name, or no weights for it, or it can't take images of that size.
        NotAvailableError: timm's weights can't be fetched from this machine.
    """
    name = timm_name or _RESIDUAL.get(backbone, "")
    if name:
        return _timm_trunk(name, (input_height, input_width), input_channels, timm_pretrained)
    if timm_pretrained:
        raise _no_weights(backbone)
    if backbone == _VIT_LARGE:
        return _vit_large((input_height, input_width), input_channels)
    from tao_skill.metric_learning.model.fan import FAN_SIZES, Fan

    return Fan(FAN_SIZES[backbone], input_channels)


def is_published_transformer(backbone: str, timm_name: str) -> bool:
    """Tell whether a trunk is one of the published transformers, whose recognisers have the residual head."""
    return not timm_name and backbone not in _RESIDUAL


def trunk_dim(trunk: nn.Module, input_channels: int, input_height: int, input_width: int) -> int:
    """Return the number of features that a trunk really puts out, by asking it: its attributes differ by family.

    Raises:
        SpecError: it takes no images of that size, or puts out no vectors.
    """
    was_training = trunk.training
    trunk.eval()
    try:
        with torch.no_grad():
            features = trunk(torch.zeros(1, input_channels, input_height, input_width))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise _wrong_size(trunk, input_height, input_width, error) from error
    trunk.train(was_training)
    if features.ndim != 2:
        raise SpecError(
            "The trunk's output is no feature vector.",
            problems=[
                Problem("model.timm_name", tuple(features.shape), "a model whose pooled output is (batch, features)")
            ],
        )
    return int(features.shape[1])


def _wrong_size(trunk: nn.Module | None, height: int, width: int, error: Exception) -> SpecError:
    """Word what a trunk says of a size that it can't take; transformers want whole patches."""
    patch = getattr(getattr(trunk, "patch_embed", None), "patch_size", None) or (1, 1)
    sides = (("model.input_width", width, patch[1]), ("model.input_height", height, patch[0]))
    problems = [
        Problem(key, side, f"a multiple of {step}, such as {-(-side // step) * step}")
        for key, side, step in sides
        if side % step
    ]
    return SpecError(
        f"The trunk takes no images of {width} x {height} pixels: {' '.join(str(error).split())[:200]}",
        problems=problems or [Problem(key, side, "a size that the trunk takes") for key, side, _ in sides],
    )


def _vit_large(input_size: tuple[int, int], input_channels: int) -> nn.Module:
    """Return DINOv2's ViT-L/14 with gated perceptrons; ``input_size`` (height, width) decides its positions."""
    from timm.layers.mlp import SwiGLUPacked
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=input_size,
        patch_size=14,
        in_chans=input_channels,
        num_classes=0,
        embed_dim=1024,
        depth=24,
        num_heads=16,
        # Two gates' worth of two thirds of 4 x 1024, rounded up to a multiple of eight.
        mlp_ratio=2 * 2736 / 1024,
        mlp_layer=cast(type[nn.Module], SwiGLUPacked),
        act_layer=nn.SiLU,
        init_values=1e-5,
    )


def _timm_trunk(name: str, input_size: tuple[int, int], input_channels: int, pretrained: bool) -> nn.Module:
    _import_networks_file(name)
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"a model of the timm library, such as {', '.join(near)}" if near else "a model of the timm library"
        raise SpecError(f"There is no timm model {name!r}.", problems=[Problem("model.timm_name", name, hint)])
    settings: dict[str, Any] = {"pretrained": pretrained, "num_classes": 0, "in_chans": input_channels}
    published = timm.get_pretrained_cfg(name)
    if published is not None and published.fixed_input_size:
        # Transformers fix the number of their position embeddings when they are built.
        settings["img_size"] = input_size
    if pretrained and not getattr(published, "has_weights", False):
        raise _no_weights(name)
    try:
        trunk: nn.Module = timm.create_model(name, **settings)
    except AssertionError as error:
        raise _wrong_size(None, *input_size, error) from error
    except Exception as error:
        if not (pretrained and _is_of_a_connection(error)):
            raise
        raise _unreachable(name, published, error) from error
    if pretrained:
        log.info("The trunk starts from timm's weights %s.", _origin(published))
    return trunk


def _import_networks_file(name: str) -> None:
    """Import the one file of timm that defines a network; all hundred of them where none seems to."""
    start = f"\ndef {name.partition('.')[0]}(".encode()
    for file in (Path(timm.__file__).parent / "models").glob("*.py"):
        if start in file.read_bytes():
            importlib.import_module(f"timm.models.{file.stem}")
            return
    timm.list_models()


def _is_of_a_connection(error: Exception) -> bool:
    import httpx

    return isinstance(error, OSError | httpx.HTTPError)


def _origin(published: Any) -> str:
    return str(published.hf_hub_id or published.url or published.file or published.architecture)


def _no_weights(name: str) -> SpecError:
    problem = Problem("model.timm_pretrained", True, "false, and a file of weights in model.pretrained_trunk_path")
    return SpecError(f"timm has no pretrained weights for {name}.", problems=[problem])


def _unreachable(name: str, published: Any, error: Exception) -> NotAvailableError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return NotAvailableError(
        f"timm's weights {_origin(published)} can't be fetched from this machine: {reason}",
        problems=[Problem("model.timm_pretrained", True, "a connection to the hub, or the weights in its local cache")],
        next_step=f"download the weights of {name} where there is a connection, and start from the file: "
        "model.timm_pretrained=false model.pretrained_trunk_path=<file>.safetensors",
    )
