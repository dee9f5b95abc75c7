"""The network."""

import pytest
import torch

from tao_skill.errors import NotAvailableError, SpecError
from tao_skill.metric_learning.model.backbones import build_trunk
from tao_skill.metric_learning.model.recogniser import ModelSettings, build_recogniser


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv4_conv_small", "vit_tiny_patch16_224"])
@pytest.mark.parametrize(("width", "height", "channels"), [(64, 32, 3), (32, 64, 1)])
def test_any_timm_model_gives_embeddings_of_the_asked_length(
    name: str, width: int, height: int, channels: int
) -> None:  # R39
    recogniser = build_recogniser(ModelSettings("resnet_50", name, width, height, channels, 24), seed=1)
    assert recogniser(torch.zeros(2, channels, height, width)).shape == (2, 24)


@pytest.mark.parametrize(
    ("backbone", "trunk", "embedder"), [("resnet_50", 23508032, 524544), ("resnet_101", 42500160, 524544)]
)
def test_residual_networks_have_the_published_size_and_names(backbone: str, trunk: int, embedder: int) -> None:  # R38
    recogniser = build_recogniser(ModelSettings(backbone, "", 32, 32, 3, 256), seed=1)
    assert sum(parameter.numel() for parameter in recogniser.trunk.parameters()) == trunk
    assert sum(parameter.numel() for parameter in recogniser.embedder.parameters()) == embedder
    names = set(recogniser.state_dict())
    assert {"trunk.conv1.weight", "trunk.layer1.0.downsample.1.running_var", "embedder.net.0.weight"} <= names
    assert "embedder.last_linear.bias" in names


def test_weights_depend_on_the_seed_alone() -> None:
    settings = ModelSettings("resnet_50", "resnet10t", 32, 32, 3, 8)
    torch.manual_seed(5)
    first = build_recogniser(settings, seed=1)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1)), "building a model must not move the global random state"
    second, third = build_recogniser(settings, seed=1), build_recogniser(settings, seed=2)
    name = "embedder.net.0.weight"
    assert torch.equal(first.state_dict()[name], second.state_dict()[name])
    assert not torch.equal(first.state_dict()[name], third.state_dict()[name])


def test_unknown_timm_name_names_near_ones() -> None:
    with pytest.raises(SpecError) as raised:
        build_trunk(backbone="resnet_50", timm_name="resnet5O", input_width=32, input_height=32, input_channels=3)
    assert "resnet50" in raised.value.problems[0].expected


def test_backbone_of_later_versions_says_so() -> None:
    with pytest.raises(NotAvailableError, match="fan_tiny"):
        build_trunk(backbone="fan_tiny", timm_name="", input_width=32, input_height=32, input_channels=3)
