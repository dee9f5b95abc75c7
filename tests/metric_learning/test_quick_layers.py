"""Convolutions that are computed in another way give what PyTorch's give, forwards and backwards."""

import copy
import re

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


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (7, 7)])
def test_pointwise_gradients_in_bfloat16_are_as_near_as_the_format_allows(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(48, 32, 1)
    quick = copy.deepcopy(plain)
    make_quick(quick)
    given = images(16, 48, *size)
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(quick, given)
    for expected, got in zip(gradients(plain, given), found, strict=True):
        assert (got.float() - expected).norm() < 0.01 * expected.norm()


def test_a_networks_gradients_in_bfloat16_are_as_near_as_pytorchs_own() -> None:
    """Over all layers rounding adds up to a fifth of a gradient, of PyTorch's kernels as well: no more is allowed here.

    Of each parameter's error a tenth more is, and of their median a hundredth.
    """
    torch.manual_seed(0)
    plain = timm.create_model("mobilenetv4_conv_small", num_classes=0).eval()
    quick = copy.deepcopy(plain)
    make_quick(quick)
    given = images(8, 3, 64, 64)
    exact = gradients(plain, given)
    with torch.autocast("cpu", torch.bfloat16):
        found = {kind: gradients(network, given) for kind, network in (("quick", quick), ("plain", plain))}
    errors = {
        kind: torch.stack([(one.float() - right).norm() / right.norm() for one, right in zip(own, exact, strict=True)])
        for kind, own in found.items()
    }
    assert (errors["quick"] < 1.1 * errors["plain"]).all()
    assert errors["quick"].median() < 1.01 * errors["plain"].median()


SHAPES = {
    "no images": (0, 8, 4, 4),
    "a single image": (8, 4, 4),
    "none of its pixels": (2, 8, 0, 4),
    "other channels": (2, 7, 4, 4),
    "videos": (1, 2, 8, 4, 4),
}


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(
    "plain",
    [
        nn.Conv2d(8, 6, 1),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8),
        nn.Conv2d(8, 8, 5, padding=2, groups=8),
        nn.Conv2d(8, 8, 5, padding=4, dilation=2, groups=8),
    ],
    ids=["pointwise", "3 x 3", "5 x 5", "unusual"],
)
def test_what_is_no_batch_of_images_is_taken_and_refused_as_pytorch_does(
    plain: nn.Conv2d, shape: tuple[int, ...], autocast: bool
) -> None:
    quick = copy.deepcopy(plain)
    make_quick(quick)
    given = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        try:
            expected = gradients(plain, given)
        except RuntimeError as error:
            with pytest.raises(RuntimeError, match=re.escape(str(error))):
                gradients(quick, given)
            return
        found = gradients(quick, given)
    for right, got in zip(expected, found, strict=True):
        assert got.dtype == right.dtype
        assert torch.equal(got, right)


def test_an_unusual_depthwise_convolution_gives_what_autocast_gives_in_the_precision_of_float32() -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(8, 8, 5, padding=4, dilation=2, groups=8)
    quick = copy.deepcopy(plain)
    make_quick(quick)
    with torch.autocast("cpu", torch.bfloat16):
        got, like = quick(images(4, 8, 6, 6)), plain(images(4, 8, 6, 6))
    assert got.dtype == like.dtype
    assert torch.equal(got, plain(images(4, 8, 6, 6)).to(got.dtype))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 3, 1),
        nn.Conv2d(2, 2, 3, padding=1, groups=2),
        nn.Conv2d(2, 2, 3, stride=2, padding=1, groups=2),
        nn.Conv2d(2, 2, 5, stride=2, padding=2, groups=2),
        nn.Conv2d(2, 2, 5, padding=4, dilation=2, groups=2),
    ],
)
def test_gradients_are_those_of_finite_differences(layer: nn.Conv2d) -> None:
    make_quick(layer.double())
    given = images(2, 2, 4, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda pixels, *_: layer(pixels), (given, *layer.parameters()))


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
