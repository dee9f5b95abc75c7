"""Convolutions that are computed in another way give what PyTorch's give, forwards and backwards."""

import copy

import pytest
import timm
import torch
from torch import nn

from tao_skill.metric_learning.half import HalfRecogniser
from tao_skill.metric_learning.model.heads import LinearHead
from tao_skill.metric_learning.model.recogniser import Recogniser
from tao_skill.metric_learning.quick_layers import is_depthwise, made_plain, make_quick


def images(*shape: int) -> torch.Tensor:
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))
    return drawn.contiguous(memory_format=torch.channels_last)


def gradients(layer: nn.Module, given: torch.Tensor) -> list[torch.Tensor]:
    layer.zero_grad()
    given = given.clone().requires_grad_()
    result = layer(given)
    (result * torch.linspace(-1, 1, result.numel()).view(result.shape)).sum().backward()
    assert given.grad is not None
    return [result.detach(), given.grad, *(one.grad.clone() for one in layer.parameters() if one.grad is not None)]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (lambda bias: nn.Conv2d(8, 6, 1, bias=bias), (1, 1)),
        (lambda bias: nn.Conv2d(8, 6, 1, bias=bias), (3, 2)),
        (lambda bias: nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=bias), (3, 3)),
        (lambda bias: nn.Conv2d(8, 8, 5, padding=2, groups=8, stride=2, bias=bias), (4, 3)),
        (lambda bias: nn.Conv2d(8, 8, (7, 5), padding=(3, 2), groups=8, bias=bias), (2, 4)),
        (lambda bias: nn.Conv2d(8, 8, 5, padding=3, groups=8, bias=bias), (1, 1)),
        (lambda bias: nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=bias), (6, 6)),
        (lambda bias: nn.Conv2d(8, 8, 5, padding=4, dilation=2, groups=8, bias=bias), (3, 3)),
        (lambda bias: nn.Conv2d(8, 16, 5, padding=2, groups=8, bias=bias), (3, 3)),
        (lambda bias: nn.Conv2d(8, 8, 5, padding="same", groups=8, bias=bias), (3, 3)),
        (lambda bias: nn.Conv2d(8, 8, 5, padding=2, padding_mode="reflect", groups=8, bias=bias), (3, 3)),
    ],
)
def test_the_quick_way_gives_the_same(layer: type[nn.Conv2d], size: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(0)
    plain = layer(bias)  # type: ignore[arg-type]
    quick = copy.deepcopy(plain)
    make_quick(quick)
    assert type(quick) is not type(plain)
    given = images(4, 8, *size)
    for expected, got in zip(gradients(plain, given), gradients(quick, given), strict=True):
        assert got.shape == expected.shape
        assert torch.allclose(got, expected, atol=1e-5)
    assert type(made_plain(quick)) is nn.Conv2d


def test_a_network_learns_the_same_under_autocast_and_is_plain_again_for_validation() -> None:
    torch.manual_seed(0)
    trunk = timm.create_model("mobilenetv4_conv_small", num_classes=0)
    network = Recogniser(trunk, LinearHead(trunk.head_hidden_size, 16)).train()
    with torch.no_grad():
        network(images(8, 3, 32, 32))
    make_quick(network)
    make_quick(network)
    copied = copy.deepcopy(network).eval()
    network.eval()
    seen: list[tuple[bool, torch.dtype, torch.dtype]] = []
    for layer in copied.trunk.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(
                lambda module, inputs, output: seen.append((is_depthwise(module), inputs[0].dtype, output.dtype))
            )
    with torch.autocast("cpu", torch.bfloat16):
        inside = copied.trunk(images(4, 3, 32, 32))
    depthwise = [kinds for kinds in seen if kinds[0]]
    assert len(depthwise) > 5
    assert {kinds[1:] for kinds in depthwise} == {(torch.bfloat16, torch.bfloat16)}
    inside.float().sum().backward()
    assert all(parameter.grad is not None for parameter in copied.trunk.parameters())
    with torch.inference_mode():
        plain = made_plain(copy.deepcopy(network))(images(4, 3, 32, 32))
        assert torch.allclose(network(images(4, 3, 32, 32)), plain, atol=1e-5)
        half = HalfRecogniser(network)(images(4, 3, 32, 32))
        assert torch.nn.functional.cosine_similarity(plain, half).min() > 0.999


@pytest.mark.parametrize(("kernel", "stride", "size"), [(3, 1, 6), (3, 2, 7), (5, 1, 6), (5, 2, 12), (5, 2, 33)])
def test_depthwise_gradients_in_bfloat16_are_as_near_as_the_format_allows(kernel: int, stride: int, size: int) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(8, 8, kernel, stride, kernel // 2, groups=8)
    quick = copy.deepcopy(plain)
    make_quick(quick)
    given = images(4, 8, size, size)
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(quick, given)
    for expected, got in zip(gradients(plain, given), found, strict=True):
        assert (got.float() - expected).norm() < 0.01 * expected.norm()


def test_what_was_computed_to_recognise_can_be_learned_from_later() -> None:
    layer = nn.Conv2d(3, 3, 11, padding=5, groups=3)
    make_quick(layer)
    with torch.inference_mode():
        layer(images(1, 3, 9, 9))
    layer(images(2, 3, 9, 9)).sum().backward()
    assert layer.weight.grad is not None


def test_grouped_convolutions_are_not_depthwise() -> None:
    assert is_depthwise(nn.Conv2d(8, 16, 3, groups=8))
    assert not is_depthwise(nn.Conv2d(8, 16, 3, groups=4))
    assert not is_depthwise(nn.Conv2d(1, 16, 3))
    assert not is_depthwise(nn.Linear(4, 4))
