"""Tells models apart by what they compute, not by the files they came in."""

import hashlib
import json
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tao_skill.metric_learning.model.recogniser import ModelSettings

__all__ = ["model_fingerprint"]


def model_fingerprint(
    weights: Mapping[str, Tensor], model: ModelSettings, pixel_mean: Sequence[float], pixel_std: Sequence[float]
) -> str:
    """Return the SHA-256 of weights, shape and preprocessing: the same for every checkpoint file of one model."""
    settings = {"model": model.document(), "pixel_mean": list(pixel_mean), "pixel_std": list(pixel_std)}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name in sorted(weights):
        tensor = weights[name].detach().to("cpu").contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
