"""Ranks a model's contractions by how much their INT8 form changes its embeddings."""

import logging
from typing import Any

import numpy as np

from tao_skill.metric_learning.engines.batches import Array
from tao_skill.metric_learning.engines.extras import import_extra
from tao_skill.metric_learning.export.quantise import CONTRACTIONS, Ranges, Scheme, quantise
from tao_skill.metric_learning.progress import Progress

__all__ = ["rank_by_sensitivity"]

log = logging.getLogger(__name__)


def rank_by_sensitivity(model: Any, ranges: Ranges, scheme: Scheme, images: Array) -> list[str]:
    """Return the names of the model's convolutions and matrix products, the most sensitive first.

    Each is quantised alone while all others stay float; the farther that moves the embeddings of ``images``
    (num_images, channels, height, width), the more sensitive it is.
    """
    names = [node.name for node in model.graph.node if node.op_type in CONTRACTIONS]
    wanted = _embed(model, images)
    moved = {}
    with Progress("layers ranked", len(names)) as progress:
        for name in names:
            others = [node.name for node in model.graph.node if node.name != name]
            moved[name] = _distance(wanted, _embed(quantise(model, ranges, scheme, exclude=others), images))
            progress.add()
    return sorted(names, key=lambda name: -moved[name])


def _embed(model: Any, images: Array) -> Array:
    runtime = import_extra("onnxruntime", "INT8")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {model.graph.input[0].name: images})
    return np.asarray(found, dtype=np.float64)


def _distance(wanted: Array, found: Array) -> float:
    """Return the mean squared distance of unit embeddings."""
    unit = [one / np.linalg.norm(one, axis=1, keepdims=True).clip(min=1e-12) for one in (wanted, found)]
    return float(((unit[0] - unit[1]) ** 2).sum(axis=1).mean())
