"""Reads what an ONNX file says of itself: its input and output, and the model it was made from."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tao_skill.errors import CheckpointError, Problem
from tao_skill.metric_learning.engines.extras import import_extra
from tao_skill.metric_learning.engines.facts import ModelFacts, facts_from_document
from tao_skill.metric_learning.model.recogniser import ModelSettings

__all__ = ["METADATA_KEY", "OnnxFile", "is_onnx", "read_onnx"]

METADATA_KEY = "tao_skill"
_BLOCK = 1 << 20
# What a file without facts leaves open, by spec key.
Given = Callable[[str], Any]


@dataclass(frozen=True)
class OnnxFile:
    """A file's one input (batch, channels, height, width) and one output (batch, embed_dim); ``batch`` None is open.

    ``own`` says that export of this project wrote it.
    """

    path: Path
    facts: ModelFacts
    input_name: str
    output_name: str
    batch: int | None
    own: bool


def is_onnx(path: str | Path) -> bool:
    """Tell by its name whether a file is an ONNX file."""
    return Path(path).suffix.lower() == ".onnx"


def read_onnx(path: str | Path, key: str, given: Given) -> OnnxFile:
    """Read an ONNX file's interface and facts.

    ``given`` returns what the spec says of a key: only a file of foreign make needs it, for backbone and pixels.

    Raises:
        NotAvailableError: the package onnx isn't installed.
        CheckpointError: no ONNX file, or one that doesn't embed images.
    """
    file = Path(path)
    model = _load(file, key)
    shapes = [_only(list(getattr(model.graph, side)), file, key) for side in ("input", "output")]
    (input_name, image), (output_name, embedding) = shapes
    if len(image) != 4 or any(size is None for size in image[1:]) or len(embedding) != 2 or embedding[1] is None:
        raise _wrong(file, key, f"input {image} and output {embedding}")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if METADATA_KEY in metadata:
        facts = facts_from_document(_json(metadata[METADATA_KEY], file, key), file, key)
        stated = (facts.model.input_channels, facts.model.input_height, facts.model.input_width)
        if stated != tuple(image[1:]) or facts.model.feat_dim != embedding[1]:
            raise _wrong(file, key, f"input {image} and output {embedding}, which its own metadata contradicts")
    else:
        facts = _foreign(file, image, embedding, given)
    return OnnxFile(file, facts, input_name, output_name, image[0], METADATA_KEY in metadata)


def _load(file: Path, key: str) -> Any:
    if not file.is_file():
        raise CheckpointError(
            f"{file} can't be read.", problems=[Problem(key, str(file), "an ONNX file; there is no such file")]
        )
    onnx = import_extra("onnx", "Reading an ONNX file")
    damaged = import_extra("google.protobuf.message", "Reading an ONNX file").DecodeError
    try:
        return onnx.load(file, load_external_data=False)
    except (damaged, ValueError, OSError) as error:
        problem = Problem(key, str(file), "a whole ONNX file, as export writes it")
        raise CheckpointError(f"{file} is damaged or no ONNX file: {error}", problems=[problem]) from error


def _only(values: list[Any], file: Path, key: str) -> tuple[str, list[int | None]]:
    if len(values) != 1:
        raise _wrong(file, key, f"{len(values)} inputs or outputs: {', '.join(value.name for value in values)}")
    shape = values[0].type.tensor_type.shape.dim
    return values[0].name, [size.dim_value if size.HasField("dim_value") else None for size in shape]


def _wrong(file: Path, key: str, found: str) -> CheckpointError:
    expected = "one input (batch, channels, height, width), all but the batch fixed, and one output (batch, features)"
    return CheckpointError(f"{file} does not embed images: it has {found}.", problems=[Problem(key, found, expected)])


def _json(text: str, file: Path, key: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        problem = Problem(key, str(file), "a file that export wrote")
        raise CheckpointError(f"What {file} says of its model is damaged: {error}", problems=[problem]) from error
    return document if isinstance(document, Mapping) else {}


def _foreign(file: Path, image: list[int | None], embedding: list[int | None], given: Given) -> ModelFacts:
    """Return the facts of a file that says nothing of its model: its shapes, its bytes, and what the spec adds."""
    _, channels, height, width = image
    model = {"input_width": width, "input_height": height, "input_channels": channels, "feat_dim": embedding[1]}
    settings = ModelSettings(backbone=given("model.backbone"), timm_name=given("model.timm_name"), **model)  # type: ignore[arg-type]
    mean, std = (tuple(given(f"dataset.{name}")) for name in ("pixel_mean", "pixel_std"))
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(_BLOCK):
            digest.update(block)
    return ModelFacts(settings, mean, std, digest.hexdigest())
