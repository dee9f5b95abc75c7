"""Published tensors in networks that take other images."""

import pytest
import timm
import torch
from timm.layers.mlp import SwiGLUPacked
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from tao_skill.metric_learning.model.adapt import in_packed_layout
from tao_skill.metric_learning.model.pretrained import load_weights


def transformer(height: int, width: int, **settings: object) -> VisionTransformer:
    torch.manual_seed(height)
    sizes = {"patch_size": 14, "embed_dim": 8, "depth": 1, "num_heads": 2, "num_classes": 0}
    return VisionTransformer(img_size=(height, width), **(sizes | settings)).eval()


def load(network: nn.Module, other: nn.Module) -> list[str]:
    report = load_weights(network, other.state_dict(), file="x", key="k", part="trunk")
    assert (report.missing, report.unexpected, report.mismatched) == ([], [], {})
    return report.adapted


@pytest.mark.parametrize(("height", "width"), [(224, 224), (56, 98), (98, 56)])
def test_positions_of_518_pixels_are_resampled_to_the_input(height: int, width: int) -> None:  # R38, 8.10
    published, mine = transformer(518, 518), transformer(height, width)
    rows, columns = height // 14, width // 14
    # Positions that are a slope downwards in one dimension and to the right in another are so at any size.
    slope = torch.linspace(-1, 1, 37)
    with torch.no_grad():
        grid = published.pos_embed[0, 1:].view(37, 37, 8)
        grid[..., 0], grid[..., 1] = slope[:, None], slope[None, :]
    assert load(mine, published) == ["pos_embed"]
    torch.testing.assert_close(mine.pos_embed[:, 0], published.pos_embed[:, 0])
    resampled = mine.pos_embed[0, 1:].view(rows, columns, 8).detach()
    assert (resampled[1:, :, 0] > resampled[:-1, :, 0]).all()
    assert (resampled[:, 1:, 1] > resampled[:, :-1, 1]).all()
    torch.testing.assert_close(resampled[..., 0].std(dim=1), torch.zeros(rows), atol=1e-5, rtol=0)
    torch.testing.assert_close(resampled[..., 1].std(dim=0), torch.zeros(columns), atol=1e-5, rtol=0)


def test_positions_of_the_same_size_stay_bit_for_bit() -> None:
    published, mine = transformer(98, 98), transformer(98, 98)
    assert load(mine, published) == []
    assert torch.equal(mine.pos_embed, published.pos_embed)


def test_positions_that_are_no_square_are_reported() -> None:
    report = load_weights(transformer(98, 98), transformer(28, 42).state_dict(), file="x", key="k", part="trunk")
    assert list(report.mismatched) == ["pos_embed"]


def test_colour_weights_see_a_gray_image_as_colours_that_agree() -> None:
    colour, gray = (timm.create_model("resnet10t", num_classes=0, in_chans=channels).eval() for channels in (3, 1))
    assert load(gray, colour) == ["conv1.0.weight"]
    image = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(gray(image), colour(image.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


def test_gray_weights_see_a_gray_image_in_colours_as_before() -> None:
    colour, gray = (timm.create_model("resnet10t", num_classes=0, in_chans=channels).eval() for channels in (3, 1))
    assert load(colour, gray) == ["conv1.0.weight"]
    image = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(colour(image.expand(-1, 3, -1, -1)), gray(image), rtol=1e-4, atol=1e-5)


def test_gated_perceptrons_load_under_dinov2s_names() -> None:
    gated = {"mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU, "mlp_ratio": 4}
    published, mine = transformer(28, 28, **gated), transformer(28, 28, **gated)
    names = {name: name.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3") for name in published.state_dict()}
    tensors = {names[name]: value + 1 for name, value in published.state_dict().items()}
    assert in_packed_layout(tensors).keys() == mine.state_dict().keys()
    report = load_weights(mine, tensors, file="x", key="k", part="trunk")
    assert not report.missing
    assert torch.equal(mine.blocks[0].mlp.fc2.bias, published.blocks[0].mlp.fc2.bias + 1)
