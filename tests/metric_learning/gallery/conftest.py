"""A model to embed with, which is quick and the same each time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tao_skill.metric_learning.engines.facts import ModelFacts
from tao_skill.metric_learning.engines.fingerprint import model_fingerprint
from tao_skill.metric_learning.engines.torch_network import TorchEmbedder
from tao_skill.metric_learning.gallery import add as adding
from tao_skill.metric_learning.model.recogniser import ModelSettings, build_recogniser

MEAN = STD = (0.5, 0.5, 0.5)


class CountingEmbedder(TorchEmbedder):
    """A real embedder that counts the images it embeds."""

    count = 0

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Embed and count."""
        self.count += len(images)
        return super().embed(images)


@pytest.fixture
def make_embedder() -> Callable[..., CountingEmbedder]:
    """Give a function that makes a small untrained model of a seed."""

    def make(seed: int = 0) -> CountingEmbedder:
        settings = ModelSettings(
            backbone="resnet_50", timm_name="resnet10t", feat_dim=8, input_width=32, input_height=32, input_channels=3
        )
        torch.manual_seed(seed)
        recogniser = build_recogniser(settings)
        fingerprint = model_fingerprint(recogniser.state_dict(), settings, MEAN, STD)
        facts = ModelFacts(settings, MEAN, STD, fingerprint, {"rejection": {"distance": 0.5}})
        return CountingEmbedder(recogniser, facts, torch.device("cpu"))

    return make


@pytest.fixture
def embedder(make_embedder: Callable[..., CountingEmbedder]) -> CountingEmbedder:
    """Give one such model."""
    return make_embedder()


@pytest.fixture
def images(task: dict[str, Path]) -> list[tuple[str, Path]]:
    """Give twelve labelled images of six classes."""
    return [(path.parent.name, path) for path in sorted(task["query"].rglob("*.png"))]


@pytest.fixture
def killed_after_ten(embedder: CountingEmbedder, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let embedding end when ten images are embedded, which are kept; undone, it goes through."""
    monkeypatch.setattr(adding, "_CHUNK", 5)
    monkeypatch.setattr(adding, "SECONDS_BETWEEN_SAVES", 0.0)
    original = adding.embed_images

    def failing(*args: Any, **kw: Any) -> torch.Tensor:
        if embedder.count >= 10:
            raise KeyboardInterrupt
        return original(*args, **kw)

    monkeypatch.setattr(adding, "embed_images", failing)
    return monkeypatch
