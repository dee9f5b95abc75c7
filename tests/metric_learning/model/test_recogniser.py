"""The network."""

from typing import get_args

import pytest
import torch

from tao_skill.config.model import Backbone
from tao_skill.errors import SpecError
from tao_skill.metric_learning.model.backbones import build_trunk
from tao_skill.metric_learning.model.recogniser import ModelSettings, build_recogniser


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv4_conv_small", "vit_tiny_patch16_224"])
@pytest.mark.parametrize(("width", "height", "channels"), [(64, 32, 3), (32, 64, 1)])
def test_any_timm_model_gives_embeddings_of_the_asked_length(
    name: str, width: int, height: int, channels: int
) -> None:  # R39
    recogniser = build_recogniser(ModelSettings("resnet_50", name, width, height, channels, 24), seed=1)
    assert recogniser(torch.zeros(2, channels, height, width)).shape == (2, 24)


@pytest.mark.parametrize("backbone", ["resnet_50", "fan_tiny"])
@pytest.mark.parametrize(("width", "height", "channels"), [(64, 32, 3), (32, 64, 1)])
def test_published_backbones_take_any_shape_of_image(
    backbone: str, width: int, height: int, channels: int
) -> None:  # R38, R39, 8.9, 8.10, 8.28
    recogniser = build_recogniser(ModelSettings(backbone, "", width, height, channels, 24), seed=1)
    assert recogniser(torch.zeros(2, channels, height, width)).shape == (2, 24)


@pytest.mark.parametrize("backbone", get_args(Backbone))
def test_every_backbone_gives_embeddings_of_the_asked_length(backbone: str) -> None:  # R38, R39, 8.9, 8.10, 8.28
    with torch.device("meta"):  # shapes without memory or time
        recogniser = build_recogniser(ModelSettings(backbone, "", 96, 64, 1, 40), seed=1)
        assert recogniser(torch.zeros(2, 1, 64, 96)).shape == (2, 40)


def test_vision_transformer_has_a_position_for_each_patch_of_the_input() -> None:  # 8.10
    with torch.device("meta"):
        trunk = build_trunk(
            backbone="nvdinov2_vit_large_legacy", timm_name="", input_width=98, input_height=56, input_channels=3
        )
    assert trunk.patch_embed.grid_size == (4, 7)
    assert trunk.pos_embed.shape == (1, 1 + 4 * 7, 1024)


@pytest.mark.parametrize("backbone", ["resnet_50", "fan_tiny"])
def test_bf16_autocast_learns_and_stays_close(backbone: str) -> None:
    recogniser = build_recogniser(ModelSettings(backbone, "", 48, 32, 3, 8), seed=1)
    images = torch.randn(2, 3, 32, 48).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        recogniser(images).float().square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in recogniser.parameters())
    recogniser.eval()
    with torch.no_grad():
        exact = recogniser(images)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = recogniser(images).float()
    assert float(torch.cosine_similarity(exact, rounded).min()) > 0.999


@pytest.mark.long
@pytest.mark.parametrize("backbone", ["resnet_50", "fan_tiny", "nvdinov2_vit_large_legacy"])
def test_backbones_can_be_traced_for_any_batch(backbone: str) -> None:
    recogniser = build_recogniser(ModelSettings(backbone, "", 64, 32, 3, 8), seed=1).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    traced = torch.export.export(recogniser, (torch.randn(2, 3, 32, 64),), dynamic_shapes=({0: batch},))
    for size in (1, 5):
        images = torch.randn(size, 3, 32, 64)
        with torch.no_grad():
            torch.testing.assert_close(traced.module()(images), recogniser(images), rtol=1e-4, atol=1e-5)


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


def test_a_size_that_the_trunk_can_not_take_is_explained() -> None:
    with pytest.raises(SpecError, match="no images of 65 x 48 pixels") as raised:
        build_recogniser(ModelSettings("resnet_50", "test_vit", 65, 48, 3, 8))
    (problem,) = raised.value.problems
    assert (problem.key, problem.expected) == ("model.input_width", "a multiple of 16, such as 80")
    with pytest.raises(SpecError, match="no images of 64 x 50 pixels"):  # refused while it is built
        build_recogniser(ModelSettings("resnet_50", "xcit_nano_12_p16_224", 64, 50, 3, 8))
