"""A network as an embedder."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.embed import embed_images
from tao_skill.metric_learning.engines.facts import ModelFacts
from tao_skill.metric_learning.engines.fingerprint import model_fingerprint
from tao_skill.metric_learning.engines.torch_network import Network, TorchEmbedder, evaluating
from tao_skill.metric_learning.model.recogniser import ModelSettings, build_recogniser

SETTINGS = ModelSettings("resnet_50", "resnet10t", input_width=48, input_height=32, input_channels=3, feat_dim=16)
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


@pytest.fixture
def embedder() -> TorchEmbedder:
    recogniser = build_recogniser(SETTINGS, seed=1)
    fingerprint = model_fingerprint(recogniser.state_dict(), SETTINGS, MEAN, STD)
    return TorchEmbedder(recogniser, ModelFacts(SETTINGS, MEAN, STD, fingerprint), torch.device("cpu"))


def images(folder: Path, number: int) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [folder / f"{index}.png" for index in range(number)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(path)
    return paths


def test_embeds_every_image_whatever_the_batch(embedder: TorchEmbedder, tmp_path: Path) -> None:
    paths = images(tmp_path, 10)
    embeddings = embed_images(embedder, paths, batch_size=4, workers=0)
    assert embeddings.shape == (10, embedder.embed_dim)
    assert embeddings.dtype == torch.float32
    single = embed_images(embedder, paths, batch_size=1, workers=0)
    assert torch.allclose(embeddings, single, atol=1e-5)


def test_transform_has_the_size_of_the_model(embedder: TorchEmbedder) -> None:
    picture = np.zeros((10, 20, 3), np.uint8)
    assert embedder.transform.tensor(picture).shape == (3, 32, 48)


def test_parts_keep_their_modes() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    network[0].eval()
    with evaluating(network):
        assert not network[1].training
    assert [network.training, network[0].training, network[1].training] == [True, False, True]


def test_network_embeds_in_the_mode_it_is_in() -> None:
    transform = EvalTransform(MEAN, STD, 4, 4)
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(48, momentum=1.0))
    Network(network, transform, torch.device("cpu")).embed(torch.ones(2, 3, 4, 4))
    assert network[1].running_mean is not None
    assert network[1].running_mean.tolist() == [1.0] * 48


def test_fingerprint_follows_what_a_model_computes() -> None:
    weights = build_recogniser(SETTINGS, seed=1).state_dict()
    first = model_fingerprint(weights, SETTINGS, MEAN, STD)
    assert first == model_fingerprint(dict(reversed(weights.items())), SETTINGS, MEAN, STD)
    assert first != model_fingerprint(weights, SETTINGS, (0.4, 0.5, 0.5), STD)
    changed = {name: value.clone() for name, value in weights.items()}
    next(iter(changed.values())).view(-1)[0] += 1e-6
    assert first != model_fingerprint(changed, SETTINGS, MEAN, STD)
