"""What must be known of a model to embed images with it, whatever computes: it travels with the model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tao_skill.errors import CheckpointError, Problem
from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.model.recogniser import ModelSettings

__all__ = ["ModelFacts", "facts_from_document"]

FORMAT_VERSION = 1


@dataclass(frozen=True)
class ModelFacts:
    """A model's shape, how pixels become its numbers, and which weights it has.

    ``fingerprint`` is that of the trained model: files and engines that were made from one model share it.
    ``recognition`` holds, as plain data, what was learned about recognising beside the weights. ``precision`` is the
    number format of the weights: FP32, FP16, BF16 or INT8.
    """

    model: ModelSettings
    pixel_mean: tuple[float, ...]
    pixel_std: tuple[float, ...]
    fingerprint: str
    recognition: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "FP32"

    def transform(self) -> EvalTransform:
        """Return the preprocessing that the model was trained with."""
        size = self.model
        return EvalTransform(self.pixel_mean, self.pixel_std, size.input_width, size.input_height, size.input_channels)

    def settings(self) -> dict[str, Any]:
        """Return the spec keys that the model decides, with their values."""
        model = {f"model.{name}": value for name, value in self.model.document().items()}
        return model | {"dataset.pixel_mean": list(self.pixel_mean), "dataset.pixel_std": list(self.pixel_std)}

    def document(self) -> dict[str, Any]:
        """Return all of it as plain data, with the resize and crop rule beside it."""
        return {
            "format_version": FORMAT_VERSION,
            "model": self.model.document(),
            "transform": {
                "pixel_mean": list(self.pixel_mean),
                "pixel_std": list(self.pixel_std),
                **self.transform().geometry(),
            },
            "fingerprint": self.fingerprint,
            "precision": self.precision,
            "recognition": dict(self.recognition),
        }


def facts_from_document(document: Mapping[str, Any], file: Path, key: str) -> ModelFacts:
    """Return the facts that a file carries; ``key`` is the spec key that named the file.

    Raises:
        CheckpointError: the facts are damaged, or ask for a preprocessing that this version doesn't know.
    """
    try:
        transform = document["transform"]
        facts = ModelFacts(
            model=ModelSettings(**document["model"]),
            pixel_mean=tuple(transform["pixel_mean"]),
            pixel_std=tuple(transform["pixel_std"]),
            fingerprint=document["fingerprint"],
            recognition=document.get("recognition", {}),
            precision=document.get("precision", "FP32"),
        )
        known = facts.transform().geometry()
        strange = {name: transform.get(name) for name, value in known.items() if transform.get(name) != value}
    except (KeyError, TypeError, ValueError) as error:
        problem = Problem(key, str(file), "a file that export or gen_trt_engine of this project wrote")
        raise CheckpointError(f"What {file} says of its model is damaged: {error!r}", problems=[problem]) from error
    if strange:
        problem = Problem(
            key, strange, f"{ {name: known[name] for name in strange} }, as this version resizes and crops"
        )
        raise CheckpointError(f"{file} was made for another preprocessing.", problems=[problem])
    return facts
