"""The `model` section."""

from typing import Annotated, Literal

from pydantic.dataclasses import dataclass

from tao_skill.config.parameter import SECTION, parameter

__all__ = ["Backbone", "Input", "Model"]

SMALLEST_SIDE, LARGEST_SIDE = 16, 4096

Backbone = Literal[
    "resnet_50",
    "resnet_101",
    "fan_small",
    "fan_base",
    "fan_large",
    "fan_tiny",
    "nvdinov2_vit_large_legacy",
]


@dataclass(config=SECTION)
class Input:
    """The size of the images that a model takes."""

    input_width: Annotated[
        int,
        parameter(
            "Width of the images that enter the model, in pixels.",
            title="Input width",
            ge=SMALLEST_SIDE,
            le=LARGEST_SIDE,
            parent_param=True,
            kept_on_resume=True,
        ),
    ] = 224
    input_height: Annotated[
        int,
        parameter(
            "Height of the images that enter the model, in pixels.",
            title="Input height",
            ge=SMALLEST_SIDE,
            le=LARGEST_SIDE,
            parent_param=True,
            kept_on_resume=True,
        ),
    ] = 224
    input_channels: Annotated[
        Literal[1, 3],
        parameter(
            "Channels of the images: 3 for colour, 1 for gray.",
            title="Input channels",
            tao_type="int",
            kept_on_resume=True,
        ),
    ] = 3


@dataclass(config=SECTION)
class Model(Input):
    """What the network is made of and from which weights it starts."""

    backbone: Annotated[
        Backbone,
        parameter("Trunk of the model.", title="Backbone", tao_type="categorical", kept_on_resume=True),
    ] = "resnet_50"
    timm_name: Annotated[
        str,
        parameter(
            "Name of a model of the timm library to use as trunk; wins over backbone. Empty: backbone decides.",
            title="timm model",
            kept_on_resume=True,
        ),
    ] = ""
    timm_pretrained: Annotated[
        bool,
        parameter(
            "Start the trunk from the weights that the timm library publishes for it: for timm_name and the ResNets. "
            "They are fetched from the hub, or taken from its local cache.",
            title="timm's weights",
        ),
    ] = False
    pretrained_model_path: Annotated[
        str | None,
        parameter("Weights of a whole model, trunk and embedder, to start from.", title="Pretrained model"),
    ] = None
    pretrained_trunk_path: Annotated[
        str | None, parameter("Weights of a trunk to start from.", title="Pretrained trunk")
    ] = None
    pretrained_embedder_path: Annotated[
        str | None, parameter("Weights of an embedding head to start from.", title="Pretrained embedder")
    ] = None
    feat_dim: Annotated[
        int,
        parameter(
            "Length of an embedding, the vector that is compared.",
            title="Embedding length",
            ge=1,
            le=65536,
            kept_on_resume=True,
        ),
    ] = 256
