"""The Fully Attentional Network, its steps against naive loops."""

import math

import pytest
import torch
from torch import Tensor

from tao_skill.metric_learning.model.fan import FAN_SIZES, Fan, _ChannelAttention, _PlaceAttention, _SampleNorm2d


@pytest.fixture(scope="module")
def fan() -> Fan:
    torch.manual_seed(0)
    return Fan(FAN_SIZES["fan_tiny"], input_channels=3).eval()


def softmax_over_places(column: Tensor) -> Tensor:
    exponentials = (column - column.max()).exp()
    return exponentials / exponentials.sum()


def test_stage_norm_divides_by_the_samples_variance() -> None:
    norm = _SampleNorm2d(4)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    grid = torch.randn(2, 4, 3, 2)
    normed = norm(grid)
    for image in range(2):
        for row in range(3):
            for column in range(2):
                values = grid[image, :, row, column].tolist()
                mean = sum(values) / 4
                variance = sum((value - mean) ** 2 for value in values) / 3
                for channel in range(4):
                    expected = (values[channel] - mean) / math.sqrt(variance + norm.eps)
                    expected = expected * norm.weight[channel] + norm.bias[channel]
                    assert float(normed[image, channel, row, column].detach()) == pytest.approx(
                        float(expected.detach()), abs=1e-5
                    )


def test_channels_are_weighed_by_agreement_with_their_head() -> None:
    torch.manual_seed(1)
    attention = _ChannelAttention(dim=4, heads=2).eval()
    torch.nn.init.normal_(attention.temperature)
    tokens = torch.randn(1, 6, 4)  # six places, a grid of 3 x 2
    with torch.no_grad():
        values = attention.norm_v(attention.mlp_v(tokens, 3, 2))[0]
        query = attention.q(tokens)[0]
        weighed = attention(tokens, 3, 2)[0]
        for channel in range(4):
            head = channel // 2
            key = sum(softmax_over_places(tokens[0, :, other]) for other in (2 * head, 2 * head + 1)) / 2
            agreement = sum(softmax_over_places(query[:, channel]) * key)
            weight = attention.temperature[head, 0, 0] / (1 + math.exp(-float(agreement)))
            torch.testing.assert_close(weighed[:, channel], weight * values[:, channel])


def test_places_are_mixed_by_similarity() -> None:
    torch.manual_seed(2)
    attention = _PlaceAttention(dim=4, heads=2).eval()
    tokens = torch.randn(1, 6, 4)
    with torch.no_grad():
        query, (key, value) = attention.q(tokens)[0], attention.kv(tokens)[0].split(4, dim=1)
        mixed = torch.zeros(6, 4)
        for head in (slice(0, 2), slice(2, 4)):
            for place in range(6):
                scores = torch.stack([query[place, head] @ key[other, head] / math.sqrt(2) for other in range(6)])
                mixed[place, head] = softmax_over_places(scores) @ value[:, head]
        torch.testing.assert_close(attention(tokens)[0], attention.proj(mixed))


@pytest.mark.parametrize(("height", "width"), [(16, 16), (32, 64), (64, 32), (35, 50)])
def test_any_size_of_16_pixels_and_more_is_taken(fan: Fan, height: int, width: int) -> None:  # 8.10
    images = torch.randn(2, 3, height, width)
    with torch.no_grad():
        assert fan.patch_embed(images).shape == (2, 192, height // 16, width // 16)
        assert fan(images).shape == (2, 192)


def test_positions_tell_height_from_width(fan: Fan) -> None:  # 8.10
    images = torch.randn(1, 3, 32, 64)
    with torch.no_grad():
        assert not torch.allclose(fan(images), fan(images.transpose(2, 3)), atol=1e-3)


def test_an_image_does_not_depend_on_its_batch_or_memory_format(fan: Fan) -> None:
    images = torch.randn(3, 3, 32, 48)
    with torch.no_grad():
        together = fan(images)
        torch.testing.assert_close(fan(images[1:2])[0], together[1], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(fan(images.to(memory_format=torch.channels_last)), together, rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_random_images_can_be_learned_by_heart() -> None:
    torch.manual_seed(3)
    network = Fan(FAN_SIZES["fan_tiny"], input_channels=3).train()
    images, wanted = torch.randn(8, 3, 32, 32), torch.randn(8, 192)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-4)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (network(images) - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
