"""This project's checkpoints: tensors and plain data, which PyTorch's safe loader takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tao_skill.errors import CheckpointError, Problem
from tao_skill.metric_learning.files import replacing
from tao_skill.metric_learning.model.pretrained import LoadReport, load_weights
from tao_skill.metric_learning.model.recogniser import ModelSettings, Recogniser, build_recogniser
from tao_skill.metric_learning.model.weight_file import HEADER, read_file, tensors_in

__all__ = ["HEADER", "TRAINING", "Checkpoint", "header", "load_recogniser", "read_checkpoint", "save_atomically"]

# The entry that holds what a resumed training needs beside the weights.
TRAINING = "training"
FORMAT_VERSION = 1
_PREFIX = "recogniser."


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file as it was read; foreign files have no model and no transform."""

    path: Path
    tensors: dict[str, Tensor]
    model: dict[str, Any] = field(default_factory=dict)
    transform: dict[str, Any] = field(default_factory=dict)
    recognition: dict[str, Any] = field(default_factory=dict)
    epoch: int | None = None
    step: int | None = None
    training: dict[str, Any] = field(default_factory=dict)


def header(
    *,
    model_name: str,
    model: Mapping[str, Any],
    transform: Mapping[str, Any],
    recognition: Mapping[str, Any],
    epoch: int,
    step: int,
    metrics: Mapping[str, float],
) -> dict[str, Any]:
    """Return the entry that makes a file of weights a checkpoint of this project.

    ``recognition`` is what was learned beside the weights: ``class_names`` of the training, and whatever else
    recognising needs, as plain data. It travels on into ONNX files and engines.
    """
    return {
        "format_version": FORMAT_VERSION,
        "model_name": model_name,
        "model": dict(model),
        "transform": dict(transform),
        "recognition": dict(recognition),
        "epoch": epoch,
        "step": step,
        "metrics": dict(metrics),
    }


def save_atomically(content: Mapping[str, Any], path: Path) -> None:
    """Write a file that is either whole or not there, also after a crash or a power cut."""
    with replacing(path) as temporary:
        torch.save(dict(content), temporary)


def read_checkpoint(path: str | Path, key: str) -> Checkpoint:
    """Read a checkpoint of this project, or the tensors of a foreign one.

    Raises:
        CheckpointError: the file can't be read safely, or holds no tensors.
    """
    content = read_file(path, key)
    tensors = tensors_in(content)
    if not tensors:
        raise CheckpointError(
            f"{path} holds no weights.", problems=[Problem(key, str(path), "a checkpoint with a state_dict of tensors")]
        )
    own = content.get(HEADER)
    if not isinstance(own, Mapping):
        return Checkpoint(Path(path), tensors)
    weights = {name.removeprefix(_PREFIX): value for name, value in tensors.items() if name.startswith(_PREFIX)}
    return Checkpoint(
        path=Path(path),
        tensors=weights or tensors,
        model=dict(own.get("model", {})),
        transform=dict(own.get("transform", {})),
        recognition=dict(own.get("recognition", {})),
        epoch=own.get("epoch"),
        step=own.get("step"),
        training=dict(content.get(TRAINING, {})),
    )


def load_recogniser(checkpoint: Checkpoint, settings: ModelSettings, key: str) -> tuple[Recogniser, list[str]]:
    """Build the recogniser and fill it from a checkpoint, whole: every tensor must be there.

    Returns the recogniser in evaluation mode and notes on what was loaded.

    Raises:
        CheckpointError: tensors are missing, of another shape, or left over: it is another model's checkpoint.
    """
    recogniser = build_recogniser(settings)
    report = load_weights(recogniser, checkpoint.tensors, file=checkpoint.path, key=key, part="model")
    if not report.fits:
        raise CheckpointError(
            f"{checkpoint.path} does not fit {settings.trunk_name} with feat_dim {settings.feat_dim}: {report}",
            problems=[
                Problem(key, str(checkpoint.path), "a checkpoint of this model, or that one's model.* keys"),
                *_other_trunk(report, settings),
            ],
        )
    return recogniser.eval(), [str(report)]


def _other_trunk(report: LoadReport, settings: ModelSettings) -> list[Problem]:
    """Name the key of the trunk where the checkpoint only holds more than is needed, as that of a deeper one does."""
    if not report.surplus or report.missing or report.mismatched:
        return []
    key = "model.timm_name" if settings.timm_name else "model.backbone"
    more = f"the trunk of the checkpoint, which has {len(report.surplus)} tensors more, such as {report.surplus[0]}"
    return [Problem(key, settings.trunk_name, more)]
