"""Embeds with a network of PyTorch."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.engines.facts import ModelFacts
from tao_skill.metric_learning.model.recogniser import Recogniser

__all__ = ["Network", "TorchEmbedder", "evaluating"]


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode; afterwards each of its parts is in the mode it was in."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


class Network:
    """Any network on its device, in the mode it is in."""

    def __init__(
        self, network: nn.Module, transform: EvalTransform, device: torch.device, precision: str = "fp32"
    ) -> None:
        self.network = network
        self.transform = transform
        self.device = device
        self.precision = precision

    def embed(self, images: Tensor) -> Tensor:
        """Map images (batch, channels, height, width) to the network's output, (batch, dim) float32 on the CPU."""
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, self.precision == "bf16"):
            pixels = images.to(self.device, non_blocking=True).contiguous(memory_format=torch.channels_last)
            embeddings: Tensor = self.network(pixels).float().cpu()
        return embeddings


class TorchEmbedder(Network):
    """A recogniser in evaluation mode."""

    engine = "torch"

    def __init__(
        self, recogniser: Recogniser, facts: ModelFacts, device: torch.device, precision: str = "fp32"
    ) -> None:
        recogniser.eval().to(device).to(memory_format=torch.channels_last)
        super().__init__(recogniser, facts.transform(), device, precision)
        self.recogniser = recogniser
        self.facts = facts

    @property
    def embed_dim(self) -> int:
        """Return the length of an embedding."""
        return self.facts.model.feat_dim
