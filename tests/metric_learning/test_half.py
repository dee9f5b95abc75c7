"""bfloat16 on CPUs: the same network, only quicker."""

import pytest
import timm
import torch
from torch import nn

from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.device import Precision
from tao_skill.metric_learning.half import HalfRecogniser, validating
from tao_skill.metric_learning.model.heads import LinearHead
from tao_skill.metric_learning.model.recogniser import ModelSettings, Recogniser, build_recogniser


def recogniser(name: str) -> Recogniser:
    torch.manual_seed(0)
    trunk = timm.create_model(name, num_classes=0)
    network = Recogniser(
        trunk, LinearHead(trunk.num_features if name.startswith("vit") else trunk.head_hidden_size, 16)
    )
    network.train()
    with torch.no_grad():
        for _ in range(3):  # batch statistics of its own
            network(images(8))
    return network.eval()


def images(count: int) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv4_conv_small"])
def test_validation_in_half_gives_the_same_embeddings(name: str) -> None:
    network = recogniser(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.inference_mode():
        half = HalfRecogniser(network)
        expected, got = network(images(6)), half(images(6))
    assert {parameter.dtype for parameter in half.trunk.parameters()} == {torch.bfloat16}
    assert got.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(expected, got).min() > 0.999
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_trunk_without_batch_normalisation_is_left_to_autocast() -> None:
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = Recogniser(trunk, LinearHead(8, 4)).eval()
    half = HalfRecogniser(network)
    assert {parameter.dtype for parameter in half.trunk.parameters()} == {torch.float32}
    with torch.inference_mode():
        assert torch.nn.functional.cosine_similarity(network(images(6)), half(images(6))).min() > 0.999


def test_a_trunk_that_normalises_otherwise_as_well_is_left_to_autocast() -> None:
    """One batch normalisation among layer normalisations was enough for all of it to be computed in bfloat16."""
    network = build_recogniser(ModelSettings("fan_tiny", "", 32, 32, 3, 16), seed=0).eval()
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in network.trunk.modules())
    half = HalfRecogniser(network)
    assert {parameter.dtype for parameter in half.trunk.parameters()} == {torch.float32}
    with torch.inference_mode():
        assert torch.nn.functional.cosine_similarity(network(images(6)), half(images(6))).min() > 0.999


def test_on_a_gpu_the_network_itself_is_in_half() -> None:
    """What embeds chooses the number format, whatever stands around it: validation was in float32 there."""
    network, transform = recogniser("resnet10t"), EvalTransform([0.5] * 3, [0.25] * 3, 32, 32)
    gpu = torch.device("cuda", 0)
    for precision, expected in (("bf16-mixed", "bf16"), ("32-true", "fp32")):
        with validating(network, transform, gpu, precision, 1000) as embedder:  # type: ignore[arg-type]
            assert (embedder.precision, embedder.network) == (expected, network)


def test_a_trunk_that_cannot_be_traced_works_as_well() -> None:
    class Curious(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            values: torch.Tensor = self.norm(self.conv(pixels)).mean(dim=(2, 3))
            return values if values.sum() > 0 else values * 1  # a branch that depends on the input

    network = Recogniser(Curious(), LinearHead(4, 4)).eval()
    with torch.inference_mode():
        assert HalfRecogniser(network)(images(5)).shape == (5, 4)


@pytest.mark.parametrize(
    ("precision", "count", "copied"), [("bf16-mixed", 65, True), ("bf16-mixed", 64, False), ("32-true", 65, False)]
)
def test_a_validation_is_in_half_where_the_training_is_and_the_copy_pays(
    precision: Precision, count: int, copied: bool
) -> None:
    network = recogniser("resnet10t").train()
    transform = EvalTransform([0.5] * 3, [0.25] * 3, 32, 32)
    with validating(network, transform, torch.device("cpu"), precision, count) as embedder:
        assert isinstance(embedder.network, HalfRecogniser) is copied
        assert not embedder.network.training
        assert embedder.embed(images(2)).shape == (2, 16)
    assert network.training
