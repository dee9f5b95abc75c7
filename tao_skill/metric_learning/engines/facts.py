"""What must be known of a model to embed images with it, whatever computes: it travels with the model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.model.recogniser import ModelSettings

__all__ = ["ModelFacts"]


@dataclass(frozen=True)
class ModelFacts:
    """A model's shape, how pixels become its numbers, and which weights it has.

    ``fingerprint`` is the same for two models if they compute the same function from the same preprocessing.
    ``recognition`` holds, as plain data, what was learned about recognising beside the weights.
    """

    model: ModelSettings
    pixel_mean: tuple[float, ...]
    pixel_std: tuple[float, ...]
    fingerprint: str
    recognition: Mapping[str, Any] = field(default_factory=dict)

    def transform(self) -> EvalTransform:
        """Return the preprocessing that the model was trained with."""
        size = self.model
        return EvalTransform(self.pixel_mean, self.pixel_std, size.input_width, size.input_height, size.input_channels)
